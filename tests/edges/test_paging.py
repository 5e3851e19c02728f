"""Paging over versions: every size of page, every range, and what stores get wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import StoreError
from maintainer.edges.paging import pages
from maintainer.edges.versionlist import Page, Row, write_lines

MADE = b"2026-11-28T00:47:37Z"


class Store:
    """Lists its rows in pages of so many, as S3 does it or a little differently."""

    def __init__(self, rows: list[Row], size: int, *, inclusive: bool = False, repeats: bool = False, names_next: bool = True) -> None:
        self.rows, self.size = rows, size
        self.inclusive, self.repeats, self.names_next = inclusive, repeats, names_next
        self.asked = 0

    def ask(self, key: str, version_id: str) -> Page:
        self.asked += 1
        at = 0
        marker = key.encode(errors="surrogateescape")
        if version_id:
            at = next(n for n, row in enumerate(self.rows) if row[:2] == (marker, version_id.encode())) + (not self.repeats)
        elif key:
            at = next((n for n, row in enumerate(self.rows) if (row[0] >= marker if self.inclusive else row[0] > marker)), len(self.rows))
        rows = self.rows[at : at + self.size + self.repeats]
        more = at + len(rows) < len(self.rows)
        said = (rows[-1][0].decode(), rows[-1][1].decode()) if more and self.names_next else ("", "")
        return Page(rows, write_lines(rows), more, *said)


NAMES = st.sampled_from(
    ["config", "data/00/a", "data/00/b", "data/7f", "data/ff/a", "index/a", "index/~", "index/~a", "index0", "k/ä", "snapshots/a", "z"]
)


@given(st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=8), st.integers(1, 4), st.booleans(), st.booleans(), st.data())
def test_ranges_hold_everything_once(keys: list[tuple[str, int]], size: int, inclusive: bool, repeats: bool, data: st.DataObject) -> None:
    rows: list[Row] = [(key.encode(), b"v%d" % n, b"1", MADE) for key, many in sorted(dict(keys).items()) for n in range(many)]
    store = Store(rows, size, inclusive=inclusive, repeats=repeats)
    borders = sorted(data.draw(st.sets(NAMES.map(str.encode), max_size=4)))
    found: list[Row] = []
    for after, until in pairwise([b"", *borders, None]):
        for part, lines in pages(store.ask, after or b"", lambda until=until: until):  # type: ignore[misc]
            assert lines == write_lines(part)
            found += part
    assert found == rows


@given(st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=8), st.integers(1, 4), st.booleans())
def test_folders_are_left_out(keys: list[tuple[str, int]], size: int, inclusive: bool) -> None:
    rows: list[Row] = [(key.encode(), b"v%d" % n, b"1", MADE) for key, many in sorted(dict(keys).items()) for n in range(many)]
    without = (b"index/", b"snapshots/")
    found = [row for part, _ in pages(Store(rows, size, inclusive=inclusive).ask, without=without) for row in part]
    assert found == [row for row in rows if not row[0].startswith(without)]


def test_what_is_left_out_is_not_asked_for() -> None:
    rows: list[Row] = [(b"index/%04d" % n, b"v", b"1", MADE) for n in range(1000)] + [(b"z", b"v", b"1", MADE)]
    store = Store(rows, 10)
    assert [row[0] for part, _ in pages(store.ask, without=(b"index/",)) for row in part] == [b"z"]
    assert store.asked == 2


def test_a_range_may_shrink_while_it_is_listed() -> None:
    rows: list[Row] = [(b"k%02d" % n, b"v", b"1", MADE) for n in range(20)]
    store, until = Store(rows, 5), [b"k19"]
    found: list[Row] = []
    for part, _ in pages(store.ask, until=lambda: until[0]):
        found += part
        until[0] = b"k06"
    assert found == rows[:7]


def test_a_store_that_names_no_next_page() -> None:
    rows: list[Row] = [(b"k%02d" % n, b"v", b"1", MADE) for n in range(20)]
    assert [row for part, _ in pages(Store(rows, 5, names_next=False).ask) for row in part] == rows


def test_paging_that_does_not_advance() -> None:
    page = Page([(b"k", b"v", b"1", MADE)], b"", True, "k", "v")
    with pytest.raises(StoreError, match="does not advance"):
        list(pages(lambda *_: page))


def test_keys_out_of_order() -> None:
    rows: list[Row] = [(b"b", b"v", b"1", MADE), (b"a", b"v", b"1", MADE)]
    with pytest.raises(StoreError, match="in order"):
        list(pages(Store(rows, 5).ask))
    with pytest.raises(StoreError, match="in order"):
        list(pages(Store(rows, 1).ask))
