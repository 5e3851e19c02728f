"""Values by key, on disk: a run over a million objects takes no more memory than one over ten."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, TypeAlias, TypeVar

from maintainer.core.records import Record, Records, State, Text, read_record, state_in, write_record
from maintainer.edges.scratch import full

V = TypeVar("V")

AHEAD = 1_000
"""Rows that are read at once where keys are asked for in order."""
_DENSE = 4
"""One row in so many must have been of use for more to be read at once: of keys that lie far apart each is looked up."""
_CACHE_KIB = 1024
_LAST = b"\xff" * 1_025
"""After every key: S3's have at most 1,024 bytes."""
_PUT = "INSERT OR REPLACE INTO shelf VALUES (?, ?, ?)"

Row: TypeAlias = tuple[bytes, str, str]
"""A key, a tag, and a value as it is kept."""


class Shelf(MutableMapping[str, V]):
    """A mapping in a nameless file of SQLite's, in the order of the keys' bytes; gone with this process. Safe between threads.

    What is asked for in order, or nearly so, is read many rows at a time. A tag is a word of a value's that rows can be chosen by.
    """

    def __init__(self, write: Callable[[V], str], read: Callable[[str], V], tag: Callable[[V], str] = lambda _: "") -> None:
        self._write = write
        self._read = read
        self._tag = tag
        # An empty name is a file without one, in TMPDIR or /var/tmp, as `scratch.disk` says. Nothing of it need survive.
        self._base = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self._base.execute(f"PRAGMA {pragma}")
        self._base.execute("CREATE TABLE shelf (key BLOB PRIMARY KEY, tag TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID")
        self._base.execute("BEGIN")
        self._count: int | None = 0
        self._turn = threading.RLock()
        self._ahead: dict[bytes, str] = {}
        self._from = self._to = b""
        self._size = 1
        self._used = 0

    def close(self) -> None:
        """Give the disk back, as the end of the object does too."""
        self._ahead.clear()
        self._base.close()

    def __del__(self) -> None:
        """Give the disk back."""
        self._base.close()

    def __len__(self) -> int:
        """Return how many there are."""
        if self._count is None:
            ((self._count,),) = self._ask("SELECT count(*) FROM shelf", ())
        return self._count or 0

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in order; they may change meanwhile."""
        return (decoded(key) for key, _, _ in self.rows())

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is there."""
        return isinstance(key, str) and self._find(encoded(key)) is not None

    def __getitem__(self, key: str) -> V:
        """Return a value; KeyError where there is none."""
        if (value := self._find(encoded(key))) is None:
            raise KeyError(key)
        return self._read(value)

    def __setitem__(self, key: str, value: V) -> None:
        """Put a value, in place of what was there."""
        name, kept = encoded(key), self._write(value)
        with self._turn:
            self._put([(name, self._tag(value), kept)])
            if self._from <= name <= self._to:
                self._ahead[name] = kept
                if len(self._ahead) > AHEAD:
                    self._forget()
            self._count = None

    def __delitem__(self, key: str) -> None:
        """Remove a value; KeyError where there is none."""
        with self._turn:
            if not self._base.execute("DELETE FROM shelf WHERE key = ?", (encoded(key),)).rowcount:
                raise KeyError(key)
            self._ahead.pop(encoded(key), None)
            self._count = None

    def put_rows(self, rows: Iterable[Row]) -> None:
        """Put many at once, as they are kept."""
        with self._turn:
            self._put(rows)
            self._forget()
            self._count = None

    def rows(self, prefix: str = "", tag: str = "") -> Iterator[Row]:
        """Yield rows in order of the key, those with a prefix or a tag alone if one is given."""
        begin = encoded(prefix)
        end = begin[:-1] + bytes([begin[-1] + 1]) if begin else _LAST
        chosen, wanted = ("AND tag = ?", (tag,)) if tag else ("", ())
        query = f"SELECT key, tag, value FROM shelf WHERE key >= ? AND key < ? {chosen} ORDER BY key LIMIT {AHEAD}"  # noqa: S608 - no foreign text
        while rows := self._ask(query, (begin, end, *wanted)):
            yield from rows
            begin = rows[-1][0] + b"\0"

    def _put(self, rows: Iterable[Row]) -> None:
        try:
            self._base.executemany(_PUT, rows)
        except sqlite3.OperationalError as error:
            raise full(error) from error

    def _ask(self, query: str, values: tuple[object, ...]) -> list[Any]:
        try:
            with self._turn:
                return self._base.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:  # what was put may only now go to the disk
            raise full(error) from error

    def _forget(self) -> None:
        self._ahead.clear()
        self._from = self._to = b""

    def _find(self, key: bytes) -> str | None:
        """Look among what was read ahead, else read on: twice as much as before where that was of use, else one row."""
        with self._turn:
            if not self._from <= key <= self._to or not self._from:
                self._read_ahead(key)
            self._used += 1
            return self._ahead.get(key)

    def _read_ahead(self, key: bytes) -> None:
        is_near = bool(self._from) and self._to < key
        is_of_use = is_near and self._used * _DENSE >= self._size
        self._size = min(2 * self._size, AHEAD) if is_of_use else 1
        self._used = 0
        rows = self._ask("SELECT key, value FROM shelf WHERE key >= ? ORDER BY key LIMIT ?", (key, self._size))
        self._ahead = dict(rows)
        self._from, self._to = key, rows[-1][0] if len(rows) == self._size else _LAST


class RecordShelf(Shelf[Record], Records):
    """Records of the ledger, as many as there are objects."""

    def __init__(self) -> None:
        super().__init__(write_record, read_record, lambda record: record.state.value)

    def select(self, prefix: str = "", state: State | None = None) -> Iterator[tuple[str, Record]]:
        """Yield some of them, in order; they may change meanwhile."""
        return ((decoded(key), self._read(value)) for key, _, value in self.rows(prefix, state.value if state else ""))

    def keys_in(self, prefix: str, state: State) -> Iterator[str]:
        """Yield the keys alone of what `select` would yield: no record is read."""
        return (decoded(key) for key, _, _ in self.rows(prefix, state.value))

    def state_of(self, key: str) -> State | None:
        """Return the state of one; None where there is none."""
        return state_in(text) if (text := self._find(encoded(key))) is not None else None

    def texts(self) -> Iterator[Text]:
        """Yield all as text, in the order of the keys."""
        return ((decoded(key), value) for key, _, value in self.rows())

    def put_texts(self, texts: Iterable[Text]) -> None:
        """Put what `texts` gave, here or elsewhere."""
        self.put_rows((encoded(key), state_in(text).value, text) for key, text in texts)


def encoded(key: str) -> bytes:
    """Return a key as rows have it."""
    return key.encode(errors="surrogateescape")


def decoded(key: bytes) -> str:
    """Return a row's key as text."""
    return key.decode(errors="surrogateescape")
