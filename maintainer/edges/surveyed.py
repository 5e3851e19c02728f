"""Every version that a survey listed, on disk: memory stays the same however many there are."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, overload

from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.edges import shelves
from maintainer.edges.scratch import full
from maintainer.edges.versionlist import escape, parse_line, text

MANY = 2_000
"""Of a key with more versions than this, they are read from the disk when they are asked for, and not at once."""
_KEPT_BLOCKS = 4
_KEPT_HISTORIES = 64


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that were listed together: the first row's key as it sorts, where their lines lie, and how many there are."""

    first: bytes
    offset: int
    length: int
    rows: int


class Surveyed(Mapping[str, KeyHistory]):
    """Histories by key, in order, and on top of them what was made since the survey. Written by many threads, then read by one at a time.

    Iterating reads the disk once from end to end; a key is found by a search in its block of about a thousand rows.
    """

    def __init__(self, folder: Path, root: str) -> None:
        """Keep the lines in a file below `folder`; the keys there begin with `root`, those of the histories do not."""
        # It has no name, so the disk gets it back whatever ends this process.
        self._spool = TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115 - open until `close`
        self._file = self._spool.fileno()
        self._root = root.encode()
        self._cut = len(escape(self._root))
        self._end = 0
        self._lock = threading.Lock()
        self._blocks: list[Block] = []
        self._firsts: list[bytes] = []
        self._kept: dict[int, list[bytes]] = {}
        self._since = shelves.versions()
        self._recent: dict[str, KeyHistory] = {}
        self._keys = 0
        self._unlisted: dict[str, None] = {}
        self.versions = 0
        """How many versions were listed."""

    def close(self) -> None:
        """Give the disk back."""
        self._spool.close()
        self._since.close()

    def write(self, first: bytes, lines: bytes, rows: int) -> Block:
        """Write lines that were listed together; `first` is the key of the first. They count once `take` has put them in order."""
        with self._lock:
            offset = self._end
            self._end += len(lines)
        written = 0
        try:
            while written < len(lines):
                written += os.pwrite(self._file, lines[written:], offset + written)
        except OSError as error:
            raise full(error) from error
        return Block(first, offset, len(lines), rows)

    def take(self, blocks: Sequence[Block], keys: int) -> None:
        """Take blocks, whose rows are in order, with so many keys: all of the survey, once."""
        self._blocks = list(blocks)
        self._firsts = [block.first for block in blocks]
        self._keys = keys
        self.versions = sum(block.rows for block in blocks)

    def put_on_top(self, version: ObjectVersion) -> None:
        """Remember a version or a marker that was made since."""
        if version.key not in self._since and version.key not in self:
            self._unlisted[version.key] = None
        self._since[version.key] = (version, *self._since.get(version.key, ()))
        self._recent.pop(version.key, None)

    def __len__(self) -> int:
        """Return how many keys there are."""
        return self._keys + len(self._unlisted)

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in order, and then those that were made since."""
        return (history.key for history in self.histories())

    def __getitem__(self, key: str) -> KeyHistory:
        """Return the history of a key. The last few are remembered: thousands of packs may be due by the same index."""
        if (known := self._recent.get(key)) is not None:
            return known
        found = self._find(key)
        if len(self._recent) >= _KEPT_HISTORIES:
            del self._recent[next(iter(self._recent))]
        return self._recent.setdefault(key, found)

    def _find(self, key: str) -> KeyHistory:
        piece = next(self._pieces(key), None)
        since = self._since.get(key, ())
        if piece is not None and piece.key == key:
            return self._history(piece)
        if since:
            return KeyHistory(key, since)
        raise KeyError(key)

    def values(self) -> ValuesView[KeyHistory]:
        """Return the histories, in the order of the keys."""
        return _Values(self)

    def histories(self, prefix: str = "") -> Iterator[KeyHistory]:
        """Yield the histories of all keys that begin with `prefix`, in order, and then those of keys that were made since."""
        for piece in self._pieces(prefix):
            if not piece.key.startswith(prefix):
                break
            yield self._history(piece)
        for key in list(self._unlisted):
            if key.startswith(prefix):
                yield KeyHistory(key, self._since[key])

    def _history(self, piece: _Piece) -> KeyHistory:
        since = self._since.get(piece.key, ())
        if piece.lines is None:
            return KeyHistory(piece.key, Versions(self, since, piece.parts))
        listed = tuple(parse_line(line, self._cut) for line in piece.lines)
        return KeyHistory(piece.key, since + listed if since else listed)

    def _pieces(self, start: str) -> Iterator[_Piece]:
        """Yield where the rows of each key lie, from the first key on that is not before `start`."""
        wanted = self._root + start.encode(errors="surrogateescape")
        # The rows of a key may begin in the block before the first that begins with it.
        first = max(bisect_left(self._firsts, wanted) - 1, 0)
        piece: _Piece | None = None
        at = self._row(first, wanted) if self._blocks else 0
        for number in range(first, len(self._blocks)):
            lines = self.block(number)
            while at < len(lines):
                key = lines[at].partition(b"\t")[0]
                begin, at = at, self._same(lines, at, key + b"\t")
                if piece is not None and piece.escaped == key:
                    piece.more(number, begin, at, lines)
                    continue
                if piece is not None:
                    yield piece
                piece = _Piece(key, text(key[self._cut :]))
                piece.more(number, begin, at, lines)
            at = 0
        if piece is not None:
            yield piece

    @staticmethod
    def _same(lines: list[bytes], at: int, begins: bytes) -> int:
        """Return the row after the last of those, from `at` on, that are of one key."""
        at += 1
        while at < len(lines) and lines[at].startswith(begins):
            at += 1
        return at

    def _row(self, number: int, wanted: bytes) -> int:
        """Return the first row of a block whose key is not before the wanted one."""
        return bisect_left(self.block(number), wanted, key=_sorts)

    def block(self, number: int) -> list[bytes]:
        """Return the lines of a block; the last few are remembered."""
        if (lines := self._kept.pop(number, None)) is None:
            block = self._blocks[number]
            lines = os.pread(self._file, block.length, block.offset).split(b"\n")
            while len(self._kept) >= _KEPT_BLOCKS:
                del self._kept[next(iter(self._kept))]
        self._kept[number] = lines
        return lines

    def parse(self, line: bytes) -> ObjectVersion:
        """Return the version that a line of a block holds."""
        return parse_line(line, self._cut)


class _Values(ValuesView[KeyHistory]):
    """Histories in one go: the inherited view would look each key up."""

    _mapping: Surveyed

    def __iter__(self) -> Iterator[KeyHistory]:
        return self._mapping.histories()


def _sorts(line: bytes) -> bytes:
    """Return a line's key as it sorts: escaped keys do not."""
    return text(line.partition(b"\t")[0]).encode(errors="surrogateescape")


@dataclass(slots=True)
class _Piece:
    """Where the rows of one key lie, and, if they are not many, the rows."""

    escaped: bytes
    key: str
    parts: list[tuple[int, int, int]] = field(default_factory=list)
    lines: list[bytes] | None = field(default_factory=list)

    def more(self, block: int, begin: int, end: int, lines: list[bytes]) -> None:
        self.parts.append((block, begin, end))
        if self.lines is not None:
            self.lines += lines[begin:end]
            if len(self.lines) > MANY:
                self.lines = None


class Versions(Sequence[ObjectVersion]):
    """The many versions of one key, newest first: those made since in memory, the others read from the disk when they are asked for."""

    def __init__(self, surveyed: Surveyed, since: tuple[ObjectVersion, ...], parts: Sequence[tuple[int, int, int]]) -> None:
        """`parts` are a block's number, and the rows from which and to before which the key's versions lie in it."""
        self._surveyed = surveyed
        self._since = since
        self._parts = parts
        self._ends = list(accumulate(end - begin for _, begin, end in parts))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._since) + self._ends[-1]

    @overload
    def __getitem__(self, index: int) -> ObjectVersion: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[ObjectVersion]: ...

    def __getitem__(self, index: Any) -> Any:
        """Return one version, or those of a slice."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index < len(self._since):
            return self._since[index]
        index -= len(self._since)
        part = bisect_right(self._ends, index)
        block, _, end = self._parts[part]
        return self._surveyed.parse(self._surveyed.block(block)[end - (self._ends[part] - index)])
