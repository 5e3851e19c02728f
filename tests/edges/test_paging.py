"""Paging over versions: every size of page, every range, and what stores get wrong."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import StoreError
from maintainer.edges.paging import pages
from maintainer.edges.versionlist import Page, Row, write_lines
from tests.support.pagedstore import MADE, PagedStore

NAMES = st.sampled_from(
    ["config", "data/00/a", "data/00/b", "data/7f", "data/ff/a", "index/a", "index/~", "index/~a", "index0", "k/ä", "snapshots/a", "z"]
)


@given(st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=8), st.integers(1, 4), st.booleans(), st.booleans(), st.data())
def test_ranges_hold_everything_once(keys: list[tuple[str, int]], size: int, inclusive: bool, repeats: bool, data: st.DataObject) -> None:
    rows: list[Row] = [(key.encode(), b"v%d" % n, b"1", MADE) for key, many in sorted(dict(keys).items()) for n in range(many)]
    store = PagedStore(rows, size, inclusive=inclusive, repeats=repeats)
    borders = sorted(data.draw(st.sets(NAMES.map(str.encode), max_size=4)))
    found: list[Row] = []
    for after, until in pairwise([b"", *borders, None]):
        for part, lines, _ in pages(store.ask, after or b"", lambda until=until: until):  # type: ignore[misc]
            assert lines == write_lines(part)
            found += part
    assert found == rows


@given(st.lists(st.tuples(NAMES, st.integers(1, 5)), max_size=8), st.integers(1, 4), st.booleans())
def test_folders_are_left_out(keys: list[tuple[str, int]], size: int, inclusive: bool) -> None:
    rows: list[Row] = [(key.encode(), b"v%d" % n, b"1", MADE) for key, many in sorted(dict(keys).items()) for n in range(many)]
    without = (b"index/", b"snapshots/")
    found = [row for part, _, _ in pages(PagedStore(rows, size, inclusive=inclusive).ask, without=without) for row in part]
    assert found == [row for row in rows if not row[0].startswith(without)]


def test_what_is_left_out_is_not_asked_for() -> None:
    rows: list[Row] = [(b"index/%04d" % n, b"v", b"1", MADE) for n in range(1000)] + [(b"z", b"v", b"1", MADE)]
    store = PagedStore(rows, 10)
    assert [row[0] for part, _, _ in pages(store.ask, without=(b"index/",)) for row in part] == [b"z"]
    assert store.asked == 2


def test_a_range_may_shrink_while_it_is_listed() -> None:
    rows: list[Row] = [(b"k%02d" % n, b"v", b"1", MADE) for n in range(20)]
    store, until = PagedStore(rows, 5), [b"k19"]
    found: list[Row] = []
    for part, _, _ in pages(store.ask, until=lambda: until[0]):
        found += part
        until[0] = b"k06"
    assert found == rows[:7]


def test_a_store_that_names_no_next_page() -> None:
    rows: list[Row] = [(b"k%02d" % n, b"v", b"1", MADE) for n in range(20)]
    assert [row for part, _, _ in pages(PagedStore(rows, 5, names_next=False).ask) for row in part] == rows


def test_paging_that_does_not_advance() -> None:
    page = Page([(b"k", b"v", b"1", MADE)], b"", True, "k", "v")
    with pytest.raises(StoreError, match="does not advance"):
        list(pages(lambda *_: page))


def test_an_empty_page_that_says_where_to_go_on() -> None:
    row: Row = (b"z", b"v", b"1", MADE)
    answers = {"": Page([], b"", is_truncated=True, next_key="m"), "m": Page([row], write_lines([row]), is_truncated=False)}
    assert [part for part, _, _ in pages(lambda key, _: answers[key])] == [[row]]


def test_keys_out_of_order() -> None:
    rows: list[Row] = [(b"b", b"v", b"1", MADE), (b"a", b"v", b"1", MADE)]
    with pytest.raises(StoreError, match="in order"):
        list(pages(PagedStore(rows, 5).ask))
    with pytest.raises(StoreError, match="in order"):
        list(pages(PagedStore(rows, 1).ask))
