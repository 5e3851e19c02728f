"""Listing a whole prefix, in parallel and in order: whoever has nothing to list takes a share of what another has left."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import TypeAlias

from maintainer.core.errors import UnsafeStoreError
from maintainer.core.repofiles import FileType
from maintainer.edges.paging import pages
from maintainer.edges.surveyed import Block, Surveyed
from maintainer.edges.versionlist import Page, Row, write_lines

WORKERS = 16
"""A page of a thousand versions takes S3 a tenth of a second, and this process a few milliseconds."""

FIRST = (f"{FileType.SNAPSHOT.value}/", f"{FileType.INDEX.value}/")

Ask: TypeAlias = Callable[[str, str, str], Page]
"""Gives the page below a prefix that comes after a key marker and a version id marker. Called from several threads."""

_key = itemgetter(0)


def survey(ask: Ask, root: str, folder: Path, first: Sequence[str] = FIRST, workers: int = WORKERS) -> Surveyed:
    """List all below `root`: the folders of `first` in turn, each whole, then the rest. What is listed lies in a file below `folder`.

    What refers to others is listed before them, as hosts put it after them: all that a listed snapshot or index names is listed too. Of
    the folders of `first`, what appeared after their own listing is not in it.
    """
    surveyed, proved = Surveyed(folder, root), _Proved(ask)
    without = tuple(f"{root}{name}".encode() for name in first)
    borders = _borders(root)
    try:
        ranges: list[_Range] = []
        for prefix, left_out in (*((one.decode(), ()) for one in without), (root, without)):
            ours = [border for border in borders if border.startswith(prefix.encode()) and not border.startswith(left_out)]
            ranges += _Team(partial(proved.ask, prefix), surveyed, ours, left_out, workers).list_all()
        # A sort that is stable: the blocks of one key are of one range, and in order there.
        blocks = sorted((block for one in ranges for block in one.blocks), key=lambda block: block.first)
        surveyed.take(blocks, sum(one.keys for one in ranges))
    except BaseException:
        surveyed.close()
        raise
    return surveyed


def _borders(root: str) -> list[bytes]:
    """Return the keys at which a range may be parted, in order: many among the packs, since most of a repository are packs."""
    packs = [f"{root}{FileType.PACK.value}/{byte:02x}" for byte in range(256)]
    others = [kind.value for kind in FileType if kind not in (FileType.PACK, FileType.CONFIG)]
    return sorted(border.encode() for border in (*packs, *(f"{root}{kind}/{nibble:x}" for kind in others for nibble in range(16))))


class _Proved:
    """Asks for pages; before the first that begins at a key of our own making, it makes sure that the store loses nothing there.

    One that does would list less than it has, without a word: where listing began in the first page, it must begin again after a marker
    that sorts right before that, and is no key.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._first: tuple[str, Row] | None = None
        self._is_proved = False
        self._turn = threading.Lock()

    def ask(self, prefix: str, key: str, version_id: str) -> Page:
        if key and not version_id:
            with self._turn:
                self._prove()
        page = self._ask(prefix, key, version_id)
        if not key and page.rows and self._first is None:
            self._first = (prefix, page.rows[0])
        return page

    def _prove(self) -> None:
        if self._is_proved or self._first is None:
            return
        prefix, first = self._first
        marker = first[0].decode(errors="surrogateescape")[:-1]
        if marker and first[:2] not in {row[:2] for row in self._ask(prefix, marker, "").rows}:
            raise UnsafeStoreError(
                "the store's listing of versions loses some where it begins between two keys",
                guidance="use a store that lists as S3 does; `maintainer doctor` tells what this one can do",
            )
        self._is_proved = True


@dataclass(eq=False)
class _Range:
    """The keys after `after` and not after `until`, of which those up to `at` are listed."""

    after: bytes
    until: bytes | None
    at: bytes = b""
    keys: int = 0
    blocks: list[Block] = field(default_factory=list)

    def shares(self, borders: Sequence[bytes], many: int) -> list[_Range]:
        """Keep a share of what is left, and return the others, as far as there are borders to part it at."""
        begin = bisect_right(borders, max(self.after, self.at))
        end = len(borders) if self.until is None else bisect_left(borders, self.until)
        cuts = sorted({borders[begin + (end - begin) * number // many] for number in range(1, many)}) if begin < end else []
        made = [_Range(after, until) for after, until in pairwise([*cuts, self.until]) if after is not None]
        if cuts:
            self.until = cuts[0]
        return made


class _Team:
    """Workers that list one prefix together."""

    def __init__(
        self, ask: Callable[[str, str], Page], surveyed: Surveyed, borders: Sequence[bytes], without: tuple[bytes, ...], workers: int
    ) -> None:
        self._ask = ask
        self._surveyed = surveyed
        self._borders = borders
        self._without = without
        self._workers = workers
        self._turn = threading.Condition()
        self._waiting = deque([_Range(b"", None)])
        self._idle = 0
        self._is_over = False

    def list_all(self) -> list[_Range]:
        """List it all; the error of whichever worker failed first ends the others."""
        done: list[_Range] = []
        with ThreadPoolExecutor(self._workers, thread_name_prefix="survey") as pool:
            try:
                for finished in [pool.submit(self._work) for _ in range(self._workers)]:
                    done += finished.result()
            finally:
                self._end()
        return done

    def _end(self) -> None:
        with self._turn:
            self._is_over = True
            self._turn.notify_all()

    def _work(self) -> list[_Range]:
        done: list[_Range] = []
        try:
            while (one := self._next()) is not None:
                done.append(one)
                self._list(one)
        except BaseException:
            self._end()
            raise
        return done

    def _next(self) -> _Range | None:
        """Wait for a range that another parts with; None when all are waiting, and so all is listed."""
        with self._turn:
            self._idle += 1
            while not self._waiting and not self._is_over:
                if self._idle == self._workers:
                    self._is_over = True
                    self._turn.notify_all()
                    return None
                self._turn.wait()
            self._idle -= 1
            return None if self._is_over else self._waiting.popleft()

    def _list(self, one: _Range) -> None:
        last = b""
        for rows, lines, is_more in pages(self._ask, one.after, lambda: one.until, self._without):
            one.keys += len(set(map(_key, rows))) - (rows[0][0] == last)
            one.at = last = rows[-1][0]
            for part, said in self._parted(rows, lines):
                one.blocks.append(self._surveyed.write(part[0][0], said, len(part)))
            with self._turn:
                if self._is_over:
                    return
                if is_more and (many := self._idle - len(self._waiting)):
                    self._waiting.extend(one.shares(self._borders, many + 1))
                    self._turn.notify_all()

    def _parted(self, rows: list[Row], lines: bytes) -> Iterator[tuple[list[Row], bytes]]:
        """Part a page where a folder lies that is listed by itself, so that blocks have an order."""
        cuts = sorted({0, len(rows), *(bisect_left(rows, folder, key=_key) for folder in self._without)})
        if len(cuts) <= 2:  # noqa: PLR2004 - both ends
            yield rows, lines
        else:
            for begin, end in pairwise(cuts):
                yield rows[begin:end], write_lines(rows[begin:end])
