"""Going through pages of versions: what a store's paging may get wrong is dropped where it is harmless, and an error where it is not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import TypeAlias

from maintainer.core.errors import StoreError
from maintainer.edges.versionlist import Page, Row, write_lines

Ask: TypeAlias = Callable[[str, str], Page]
"""Gives the page after a key marker and a version id marker."""
Rows: TypeAlias = tuple[list[Row], bytes, bool]
"""Rows in order, the same as lines, and whether there may be more after them."""

_key = itemgetter(0)
_CHANGE = "this S3 can not list versions in pages: report it"


def pages(
    ask: Ask, after: bytes = b"", until: Callable[[], bytes | None] = lambda: None, without: tuple[bytes, ...] = ()
) -> Iterator[Rows]:
    """Yield the rows of each page whose keys come after `after` and not after `until()`; never none at once.

    Keys that begin with one of `without` are left out, and what lies under them is not asked for. `until` is asked once a page: whoever
    took over the rest of a range may lower it meanwhile. The store's order is what all rests on, so it is checked; that a page may begin
    with what the last one ended with, or with the marker itself, is not minded. StoreError for paging that does not advance.
    """
    key, version_id = _text_of(after), ""
    last: Row | None = None
    while True:
        page = ask(key, version_id)
        rows = _fresh(page.rows, after, last)
        if rows:
            _check_order(rows, last)
            last = rows[-1]
        end = until()
        is_more = page.is_truncated and (end is None or last is None or last[0] <= end)
        wanted = _without(rows if end is None else rows[: bisect_right(rows, end, key=_key)], without)
        if wanted:
            yield wanted, page.lines if len(wanted) == len(page.rows) else write_lines(wanted), is_more
        if not is_more:
            return
        before = (key, version_id)
        if page.next_key or page.rows:
            key, version_id = page.next_key or _text_of(page.rows[-1][0]), page.next_version_id
        if not rows and (key, version_id) == before:
            raise StoreError("the store's listing does not advance", guidance=_CHANGE)
        at = _bytes_of(key)
        if (folder := next((one for one in without if one <= at < _beyond(one)), None)) is not None:
            key, version_id = _text_of(_beyond(folder)), ""
        if (end := until()) is not None and _bytes_of(key) > end:
            return


def _text_of(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


def _bytes_of(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def _beyond(folder: bytes) -> bytes:
    """Return a marker after all that restic would put into a folder; what comes after it there is left out one by one."""
    return folder + b"~"


def _without(rows: list[Row], folders: tuple[bytes, ...]) -> list[Row]:
    for folder in folders:
        if rows and rows[-1][0] >= folder and rows[0][0] < folder[:-1] + b"0":  # what follows the slash
            rows = [row for row in rows if not row[0].startswith(folder)]
    return rows


def _fresh(rows: list[Row], after: bytes, last: Row | None) -> list[Row]:
    if last is None:
        return rows if not rows or rows[0][0] > after else rows[bisect_right(rows, after, key=_key) :]
    if not rows or rows[0][0] > last[0]:
        return rows
    repeated = next((number for number, row in enumerate(rows) if row[:2] == last[:2]), -1)
    return rows[repeated + 1 :]


def _check_order(rows: list[Row], last: Row | None) -> None:
    keys = [*(() if last is None else (last[0],)), *map(_key, rows)]
    if keys != sorted(keys):
        raise StoreError("the store does not list its keys in order", guidance=_CHANGE)
