"""Pages of ListObjectVersions: the reader of bytes against the XML parser, over dialects, hostile keys and damage."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote_plus
from xml.sax.saxutils import escape as escape_xml

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from maintainer.edges import versionlist
from maintainer.edges.versionlist import Page, PageError, Row, parse_line, read_page, read_page_as_xml, write_lines

NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
MADE = b"2026-11-28T00:47:37.000Z"
ROWS: list[Row] = [
    (b"web/config", b"v1", b"155", MADE),
    (b"web/data/00/aa", b"v3", b"", MADE),
    (b"web/data/00/aa", b"v2", b"17", b"2026-11-28T01:47:37+01:00"),
    (b"web/locks/\xc3\xa4 <&>\"'%41+b\n\t", b"null", b"0", MADE),
]


@dataclass(frozen=True)
class Dialect:
    """How a store writes a page."""

    order: tuple[str, ...] = ("Key", "VersionId", "IsLatest", "LastModified", "ETag", "Size", "Owner", "StorageClass")
    encoding: str = "url"
    namespace: str = NAMESPACE
    between: str = ""
    declaration: str = '<?xml version="1.0" encoding="UTF-8"?>\n'
    markers_last: bool = False
    prefix: str = ""
    has_size_of_marker: bool = False

    def render(self, rows: list[Row], next_key: str = "") -> bytes:
        """Write a page of these rows, and after them what the page says of itself."""
        firsts = {row[0]: number for number, row in reversed([*enumerate(rows)])}
        parts = [self._entry(row, is_latest=firsts[row[0]] == number) for number, row in enumerate(rows)]
        head = f"<{self.prefix}ListVersionsResult{self.namespace}>{self.between}" + self._leaf("Name", "b")
        tail = self._leaf("EncodingType", self.encoding) if self.encoding else ""
        tail += self._leaf("IsTruncated", "true" if next_key else "false")
        tail += self._leaf("NextKeyMarker", self._key(next_key.encode())) + self._leaf("NextVersionIdMarker", "v9") if next_key else ""
        whole = [head, tail, *parts] if self.markers_last else [head, *parts, tail]
        return (self.declaration + "".join(whole) + f"</{self.prefix}ListVersionsResult>").encode()

    def _leaf(self, name: str, value: str) -> str:
        return f"<{self.prefix}{name}>{value}</{self.prefix}{name}>{self.between}"

    def _key(self, key: bytes) -> str:
        return quote_plus(key, safe="/") if self.encoding == "url" else escape_xml(key.decode())

    def _entry(self, row: Row, *, is_latest: bool) -> str:
        key, version_id, size, made = row
        values = {
            "Key": self._key(key),
            "VersionId": version_id.decode(),
            "IsLatest": str(is_latest).lower(),
            "LastModified": made.decode(),
            "ETag": "&quot;d41d8cd98f00b204e9800998ecf8427e&quot;",
            "Size": size.decode(),
            "Owner": self._leaf("ID", "a" * 64) + self._leaf("Key", "not the key"),
            "StorageClass": "STANDARD",
            "Type": "Object",
        }
        name = "Version" if size else "DeleteMarker"
        wanted = [one for one in self.order if size or one not in ("ETag", "Size", "StorageClass")]
        inside = "".join(self._leaf(one, values[one]) for one in wanted)
        if not size and self.has_size_of_marker:
            inside += self._leaf("Size", "0")
        return f"<{self.prefix}{name}>{self.between}{inside}</{self.prefix}{name}>{self.between}"


AWS = Dialect()
DIALECTS = {
    "aws": AWS,
    "keys as they are": Dialect(encoding=""),
    "another order": Dialect(order=("ETag", "Size", "LastModified", "Key", "VersionId")),
    "no owner, a type": Dialect(order=("Key", "LastModified", "ETag", "Size", "StorageClass", "VersionId", "IsLatest", "Type")),
    "lines": Dialect(between="\n  "),
    "no namespace, no declaration": Dialect(namespace="", declaration=""),
    "what the page says of itself first": Dialect(markers_last=True),
    "markers have a size": Dialect(has_size_of_marker=True),
}
SLOW = {"namespaces with a prefix": Dialect(prefix="s3:", namespace=' xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"')}


@pytest.mark.parametrize("name", [*DIALECTS, *SLOW])
def test_every_dialect_says_the_same(name: str) -> None:
    dialect = {**DIALECTS, **SLOW}[name]
    rows = [(row[0].replace(b"\n\t", b"") if not dialect.encoding else row[0], *row[1:]) for row in ROWS]
    page = read_page(dialect.render(rows, "web/locks/ä"))
    assert (page.rows, page.is_truncated, page.next_key, page.next_version_id) == (rows, True, "web/locks/ä", "v9")
    assert read_page(dialect.render(rows)).next_key == ""


@pytest.mark.parametrize("name", DIALECTS)
def test_the_fast_reader_needs_no_help(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versionlist, "read_page_as_xml", None)
    assert len(read_page(DIALECTS[name].render(ROWS[:3])).rows) == 3


def test_some_entries_have_a_checksum() -> None:
    """Since December 2024 AWS lists one for what was put with one, beside older objects without."""
    body = AWS.render(ROWS).replace(b"</ETag>", b"</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm>", 1)
    assert read_page(body).rows == ROWS


def test_lines_hold_a_version_each_whatever_its_key() -> None:
    lines = read_page(AWS.render(ROWS)).lines.split(b"\n")
    versions = [parse_line(line, len(b"web/")) for line in lines]
    assert [v.key.encode() for v in versions] == [key.removeprefix(b"web/") for key, *_ in ROWS]
    assert [(v.is_marker, v.size) for v in versions] == [(False, 155), (True, 0), (False, 17), (False, 0)]
    assert versions[1].last_modified == versions[2].last_modified


KEYS = st.one_of(
    st.from_regex(r"web/data/[0-9a-f]{2}/[0-9a-f]{8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.text("%+&;<>\"'#x12 lgtamp\\", min_size=1, max_size=20),
).map(str.encode)
ROW = st.tuples(KEYS, st.sampled_from([b"null", b"3HL4.kqt_f-x+/="]), st.sampled_from([b"", b"0", b"4398046511104"]), st.just(MADE))


@given(st.lists(ROW, max_size=8), st.sampled_from([*DIALECTS.values()]))
def test_what_was_written_is_read(rows: list[Row], dialect: Dialect) -> None:
    if not dialect.encoding:
        rows = [(re.sub(rb"[\x00-\x1f]|\xef\xbf[\xbe\xbf]", b"", row[0]) or b"k", *row[1:]) for row in rows]
    first_marker = next((number for number, row in enumerate(rows) if not row[2]), 0)
    assume(any(row[2] for row in rows[first_marker:]))  # else the order is made anew
    page = read_page(dialect.render(rows))
    assert page.rows == rows
    assert page == read_page_as_xml(dialect.render(rows))
    assert [parse_line(line).key.encode(errors="surrogateescape") for line in page.lines.split(b"\n") if rows] == [row[0] for row in rows]


def at(second: int) -> bytes:
    return b"2026-11-28T00:00:%02d.000Z" % second


HISTORIES = st.dictionaries(
    st.sampled_from([b"a", b"b", b"c/1", b"c/2"]), st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=6), max_size=4
)


@given(HISTORIES)
def test_where_markers_are_listed_after_all_versions_the_order_is_s3s(histories: dict[bytes, list[tuple[bool, int]]]) -> None:
    """Of one second S3's own order can not be told but for what is latest: here each is a second or more after the one before."""
    rows: list[Row] = []
    for key, story in sorted(histories.items()):
        second = 0
        made: list[Row] = []
        for number, (is_marker, more) in enumerate(story):
            second += 1 + more
            made.insert(0, (key, b"v%d" % number, b"" if is_marker else b"7", at(second)))
        rows += made
    firsts = {row[0]: row[:2] for row in reversed(rows)}
    apart = [row for row in rows if row[2]] + [row for row in rows if not row[2]]
    body = AWS.render(apart).decode().replace("<IsLatest>true", "<IsLatest>false")
    for key, version_id in firsts.values():
        said = f"<Key>{quote_plus(key, safe='/')}</Key><VersionId>{version_id.decode()}</VersionId><IsLatest>"
        assert body.count(f"{said}false") == 1
        body = body.replace(f"{said}false", f"{said}true")
    assert read_page(body.encode()).rows == rows


@pytest.mark.parametrize(
    ("listed", "latest", "order"),
    [
        ([(b"2", 1), (b"1", 1), (b"", 1)], 2, [2, 0, 1]),
        ([(b"2", 1), (b"1", 1), (b"", 1)], 0, [0, 1, 2]),
        ([(b"2", 5), (b"1", 1), (b"", 3)], 0, [0, 2, 1]),
        ([(b"2", 1), (b"", 9)], 0, [0, 1]),
    ],
    ids=["the latest, though no newer", "of one second: as listed", "between two by its date", "the latest, though older by its date"],
)
def test_what_is_latest_is_first_whatever_its_date(listed: list[tuple[bytes, int]], latest: int, order: list[int]) -> None:
    rows: list[Row] = [(b"k", b"v%d" % number, size, at(second)) for number, (size, second) in enumerate(listed)]
    body = AWS.render(rows).decode().replace("<IsLatest>true", "<IsLatest>false")
    body = body.replace(f"<VersionId>v{latest}</VersionId><IsLatest>false", f"<VersionId>v{latest}</VersionId><IsLatest>true")
    assert [int(row[1][1:]) for row in read_page(body.encode()).rows] == order


PIECES = [
    b"<Version>",
    b"</Version>",
    b"<DeleteMarker>",
    b"<!--",
    b"-->",
    b"<![CDATA[",
    b"]]>",
    b"<Key>",
    b"</Key>",
    b"<Size>1</Size>",
    b"&",
    b"<",
]
PIECES += [
    b"&#0;",
    b"&x;",
    b"<VersionId>",
    b"<Version a='b'>",
    b"</Owner>",
    b"<Owner>",
    b"\xff",
    b"\x01",
    b"<x/>",
    b"2026-13-28",
    b"",
    b" ",
]


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body))]


def _swap(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body))
    return body[:at] + bytes([rng.randrange(256)]) + body[at + 1 :]


def _insert(rng: random.Random, body: bytes) -> bytes:
    at = rng.choice([match.start() for match in re.finditer(rb"<|$", body)])
    return body[:at] + rng.choice(PIECES) + body[at:]


def _drop(rng: random.Random, body: bytes) -> bytes:
    one = rng.choice([*re.finditer(rb"<[^>]*>|[^<>]+|$", body)])
    return body[: one.start()] + body[one.end() :]


def _wrap(rng: random.Random, body: bytes) -> bytes:
    entries = [*re.finditer(rb"<(Version|DeleteMarker)>.*?</\1>", body, re.DOTALL)]
    one = rng.choice(entries or [re.match(b"", body)])
    assert one is not None
    left, right = rng.choice([(b"<!--", b"-->"), (b"<x>", b"</x>"), (b"<![CDATA[", b"]]>"), (b"<Prefix>", b"</Prefix>"), (b"<?x ", b"?>")])
    return body[: one.start()] + left + body[one.start() : one.end()] + right + body[one.end() :]


DAMAGE: list[Callable[[random.Random, bytes], bytes]] = [_cut, _swap, _insert, _drop, _wrap]


@settings(max_examples=1500)
@given(st.integers(0, 2**32), st.sampled_from([*DIALECTS.values()]))
@example(3, AWS)
def test_damage_is_never_read_as_something_else(seed: int, dialect: Dialect) -> None:
    """Where the XML parser reads a page, the fast reader reads the same; where it does not, one damage hides no entry from the fast one."""
    rng = random.Random(seed)
    rows = ROWS[:3] if not dialect.encoding else ROWS
    body = dialect.render(rows)
    times = rng.choice([1, 1, 2, 3])
    for _ in range(times):
        body = rng.choice(DAMAGE)(rng, body) or b"x"
    read, want = _attempt(read_page, body), _attempt(read_page_as_xml, body)
    if want is not None or read is None:
        assert read == want
    elif times == 1:
        assert len(read.rows) == len(rows), "an entry went unseen"


def _attempt(reader: Callable[[bytes], Page], body: bytes) -> Page | None:
    try:
        return reader(body)
    except PageError:
        return None


def test_a_page_that_was_cut_is_none() -> None:
    body = AWS.render(ROWS, "k")
    for end in range(len(body)):
        with pytest.raises(PageError):
            read_page(body[:end])


@pytest.mark.parametrize(
    "body",
    [b"", b"<Error><Code>SlowDown</Code></Error>", b"<html></html>", AWS.render(ROWS).replace(b"<IsTruncated>false", b"<IsTruncated>")],
)
def test_what_is_no_page(body: bytes) -> None:
    with pytest.raises(PageError):
        read_page(body)


def test_nothing_is_lost_by_writing_lines() -> None:
    strange: list[Row] = [(b"a\tb\nc%0A\xff", b"v\n1", b"", MADE), (b"plain", b"v", b"1", MADE)]
    first, second = write_lines(strange).split(b"\n")
    assert parse_line(first).key.encode(errors="surrogateescape") == strange[0][0]
    assert parse_line(second).key == "plain"
