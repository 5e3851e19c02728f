"""One page of ListObjectVersions as rows in document order: a fast reader of bytes, and an XML parser for what that does not account for.

boto3's own parser sorts versions and markers into two lists, which loses their order, and takes many times as long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TypeAlias
from urllib.parse import quote, unquote_to_bytes
from xml.etree import ElementTree as ET

from maintainer.core.versions import ObjectVersion

Row: TypeAlias = tuple[bytes, bytes, bytes, bytes]
"""One version or marker: its key in full, its version id, its size in digits (empty for a marker), and when it was made in ISO 8601."""


class PageError(ValueError):
    """A body that is no whole page of ListObjectVersions: cut, garbled, or of something else."""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in document order, the same as lines, and where the next page begins (both empty where this is the last)."""

    rows: list[Row]
    lines: bytes
    is_truncated: bool
    next_key: str = ""
    next_version_id: str = ""


def read_page(body: bytes) -> Page:
    """Read one page of any dialect; PageError for what is not a whole one."""
    return _read_fast(body) or read_page_as_xml(body)


def write_lines(rows: list[Row]) -> bytes:
    """Return rows as lines, without a last newline; keys and ids are escaped like URLs where they have to be."""
    lines = _join(rows)
    if b"%" in lines or not lines.isascii() or lines.count(b"\n") != max(len(rows) - 1, 0) or lines.count(b"\t") != 3 * len(rows):
        lines = _join([(escape(key), escape(version_id), size, made) for key, version_id, size, made in rows])
    return lines


def _join(rows: list[Row]) -> bytes:
    return b"\n".join(map(b"\t".join, rows))


_PLAIN = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""What needs no escape in a line, besides letters and digits: only `%`, white space, control characters and what is not ASCII do."""


def escape(field: bytes) -> bytes:
    """Return a key or an id as lines have it."""
    return quote(field, safe=_PLAIN).encode()


def parse_line(line: bytes, cut: int = 0) -> ObjectVersion:
    """Return the version that a line holds; the first `cut` bytes of its key, as it is escaped, are the repository's own prefix."""
    key, version_id, size, made = line.split(b"\t")
    return ObjectVersion(text(key[cut:]), text(version_id), not size, int(size or 0), _moment(made))


def text(escaped: bytes) -> str:
    """Return a key or an id of a line as text. Bytes that are no UTF-8 stay apart from each other."""
    return (unquote_to_bytes(escaped) if b"%" in escaped else escaped).decode(errors="surrogateescape")


@lru_cache(4096)
def _moment(made: bytes) -> datetime:
    return datetime.fromisoformat(made.decode()).astimezone(UTC)


_WANTED = (b"Key", b"VersionId", b"LastModified", b"Size")
_DATE = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)"
_STRIDE = 2 + len(_WANTED)
_HERE = b"<Here/>"
_ENCODING = re.compile(rb"""<\?xml[^>]*?\sencoding=["'](?!utf-8["'])""", re.IGNORECASE)
_CONTROL = bytes({*range(0x20)} - {0x09, 0x0A})
"""What XML 1.0 does not allow, not even escaped; and the carriage return, which it reads as a newline unless it is escaped."""


@cache
def _entry(order: tuple[bytes, ...]) -> re.Pattern[bytes]:
    """Return the pattern of an entry whose wanted elements come in this order, with any others, two levels deep, between them.

    Its groups: `DeleteMarker` or nothing; the wanted elements in their order.
    """
    other = rb"(?:<(?!(?:" + b"|".join(_WANTED) + rb")>)\w+>(?:[^<]*|\s*(?:<\w+>[^<]*</\w+>\s*)+)</\w+>\s*)*"
    leaf = {
        b"Key": rb"<Key>([^<]*)</Key>\s*",
        b"VersionId": rb"<VersionId>([^<]*)</VersionId>\s*",
        b"LastModified": rb"<LastModified>(" + _DATE + rb")</LastModified>\s*",
        b"Size": rb"(?(1)(?:<Size>\d*</Size>\s*)?|<Size>(\d+)</Size>\s*)",
    }
    middle = other.join(leaf[name] for name in order)
    return re.compile(rb"<(?:Version|(DeleteMarker))>\s*" + other + middle + other + rb"</(?(1)DeleteMarker|Version)>\s*")


_FIRST = re.compile(rb"<(?:Version|DeleteMarker)>")
_NAMES = re.compile(rb"<(Key|VersionId|LastModified|Size)>")


def _read_fast(body: bytes) -> Page | None:
    """Read a page by one pattern; None where anything in it is not accounted for, down to the byte."""
    if (first := _FIRST.search(body)) is None:
        return None
    start = first.start()
    version = max(body.find(b"<Version>", start, start + 100_000), start)
    order = tuple(dict.fromkeys(_NAMES.findall(body, version, body.find(b"</Version>", version) + 1 or len(body))))
    if set(order) == set(_WANTED) - {b"Size"}:
        order += (b"Size",)
    if set(order) != set(_WANTED):
        return None
    # What lies between entries, and of each its groups, in turns: so that nothing is left out.
    parts = _entry(order).split(body)
    if any(parts[_STRIDE:-1:_STRIDE]) or (rest := _rest_of(parts[0], parts[-1])) is None:
        return None
    key, version_id, size, made = (parts[2 + order.index(name) :: _STRIDE] for name in (b"Key", b"VersionId", b"Size", b"LastModified"))
    sizes = [one or b"" for one in size]
    if _are_markers_apart(sizes):  # then more of each entry must be looked at than here is
        return None
    rows: list[Row] = list(zip(key, version_id, sizes, made, strict=True))
    lines = _join(rows)
    is_url = _text(rest, "EncodingType") == "url"
    if len(lines.translate(None, _CONTROL)) < len(lines):  # a carriage return XML takes for a newline
        return None
    if b"&" in lines or (is_url and (b"%" in lines or b"+" in lines)):
        try:
            rows = [(_decoded(key, is_url=is_url), _decoded(version_id, is_url=False), size, made) for key, version_id, size, made in rows]
        except ValueError:
            return None
    return _page(rest, rows)


def _rest_of(before: bytes, after: bytes) -> ET.Element | None:
    """Return the page without its entries, parsed; None if they are not all, not in one piece, or not where entries are."""
    if b"<!" in before or _ENCODING.match(before.lstrip()):
        return None
    try:
        rest = _parse(before + _HERE + after)
    except PageError:
        return None
    names = [_local(child) for child in rest]
    return rest if names.count("Here") == 1 and not {"Version", "DeleteMarker"} & set(names) else None


_ENTITY = re.compile(rb"&(?:(amp|lt|gt|quot|apos)|#([0-9]{1,7})|#x([0-9a-fA-F]{1,6}));|&")
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}


def _decoded(field: bytes, *, is_url: bool) -> bytes:
    """Return a field without XML's and URLs' escapes; ValueError where it has one that XML does not know."""
    plain = _ENTITY.sub(_unescaped, field) if b"&" in field else field
    return unquote_to_bytes(plain.replace(b"+", b" ")) if is_url else plain


def _unescaped(found: re.Match[bytes]) -> bytes:
    named, decimal, hexadecimal = found.groups()
    if named:
        return _NAMED[named]
    if not decimal and not hexadecimal:
        raise ValueError("an entity that XML does not define")
    number = int(decimal) if decimal else int(hexadecimal, 16)
    if number in _CONTROL and number != 0x0D:  # noqa: PLR2004 - a carriage return, which may be written so
        raise ValueError("a character that XML does not allow")
    return chr(number).encode()


def read_page_as_xml(body: bytes) -> Page:
    """Read one page by a real XML parser: slower, and right for every dialect. PageError for what is not a whole page."""
    root = _parse(body)
    is_url = _text(root, "EncodingType") == "url"
    entries = [child for child in root if _local(child) in ("Version", "DeleteMarker")]
    rows = [_row(entry, is_url=is_url) for entry in entries]
    latest = {row[:2] for row, entry in zip(rows, entries, strict=True) if _text(entry, "IsLatest") == "true"}
    return _page(root, _interleaved(rows, latest))


def _are_markers_apart(sizes: list[bytes]) -> bool:
    """Tell whether all markers of a page come after all its versions: by chance, or because the store lists them so."""
    markers = sizes.count(b"")
    return 0 < markers < len(sizes) and not any(sizes[-markers:])


def _interleaved(rows: list[Row], latest: set[tuple[bytes, bytes]]) -> list[Row]:
    """Return rows in S3's order where a store lists the versions of a page first, and then its markers.

    What is latest comes first, whatever its date; else a marker comes before versions that are older than it, and after those of its time:
    a page of S3's own that looks like this by chance stays as it is.
    """
    if not _are_markers_apart([row[2] for row in rows]):
        return rows
    begin = next(number for number, row in enumerate(rows) if not row[2])
    keys = [row[0] for row in rows]
    if any(part != sorted(part) for part in (keys[:begin], keys[begin:])):
        return rows
    merged: list[Row] = []
    markers = rows[begin:]
    for row in rows[:begin]:
        while markers and (markers[0][0] < row[0] or (markers[0][0] == row[0] and _is_above(markers[0], row, latest))):
            merged.append(markers.pop(0))
        merged.append(row)
    return merged + markers


def _is_above(marker: Row, version: Row, latest: set[tuple[bytes, bytes]]) -> bool:
    if version[:2] in latest:
        return False
    return marker[:2] in latest or _date(marker) > _date(version)


def _date(row: Row) -> datetime:
    try:
        return _moment(row[3])
    except (ValueError, OverflowError) as error:
        raise PageError(f"{row[3]!r} is no date") from error


def _parse(body: bytes) -> ET.Element:
    try:
        root = ET.fromstring(body)  # noqa: S314 - expat's own limits hold, and the answer is our S3's
    except (ET.ParseError, ValueError, LookupError) as error:
        raise PageError(f"no XML: {error}") from error
    if _local(root) not in ("ListVersionsResult", "ListObjectVersionsResult"):
        raise PageError(f"<{_local(root)}> where versions should be listed")
    return root


def _row(element: ET.Element, *, is_url: bool) -> Row:
    is_marker = _local(element) == "DeleteMarker"
    fields: dict[str, str] = {}
    for child in element:
        if _local(child).encode() in _WANTED and fields.setdefault(_local(child), child.text or "") is not (child.text or ""):
            raise PageError(f"an entry with two of {_local(child)}")
    size = "" if is_marker else fields.get("Size", "")
    made = fields.get("LastModified", "")
    if (
        not {"Key", "VersionId"} <= fields.keys()
        or not (is_marker or (size.isascii() and size.isdigit()))
        or not re.fullmatch(_DATE, made.encode())
    ):
        raise PageError("an entry without a key, a version id, a size or a date")
    key = fields["Key"].encode()
    return (unquote_to_bytes(key.replace(b"+", b" ")) if is_url else key, fields["VersionId"].encode(), size.encode(), made.encode())


def _page(rest: ET.Element, rows: list[Row]) -> Page:
    """Put a page together from its rows and from what is beside them."""
    for row in {row[3]: row for row in rows}.values():
        _date(row)
    said = _text(rest, "IsTruncated")
    if said not in ("true", "false"):
        raise PageError("it does not say whether it is the last")
    key = _text(rest, "NextKeyMarker")
    if _text(rest, "EncodingType") == "url":
        key = unquote_to_bytes(key.replace("+", " ")).decode(errors="surrogateescape")
    if said == "false":
        return Page(rows, write_lines(rows), is_truncated=False)
    return Page(rows, write_lines(rows), is_truncated=True, next_key=key, next_version_id=_text(rest, "NextVersionIdMarker"))


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str:
    return next((child.text or "" for child in element if _local(child) == name), "")
