"""Lines on disk, taken in the order in which they came."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from tempfile import TemporaryFile

from maintainer.edges.scratch import disk

CHUNK = 1 << 20
"""Bytes that are read at once."""


class Spool:
    """A nameless file of lines. Any thread may append while another takes."""

    def __init__(self) -> None:
        self._spool = TemporaryFile(buffering=0, dir=disk())  # noqa: SIM115 - open until `close`
        self._file = self._spool.fileno()
        self._taken = self._end = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the disk back."""
        self._spool.close()

    def append(self, line: str) -> None:
        """Keep a line; it holds no newline. One for which the disk has no room is not kept: it is no reason to end a run."""
        body = line.encode() + b"\n"
        with self._lock, suppress(OSError):
            written = 0
            while written < len(body):
                written += os.pwrite(self._file, body[written:], self._end + written)
            self._end += len(body)

    def take(self, most: int) -> list[bytes]:
        """Return the next lines, each with its newline, and keep them no longer."""
        with self._lock:
            lines = self._next(CHUNK)[:most]
            self._taken += sum(map(len, lines))
            if self._taken == self._end:
                self._clear()
            return lines

    def _next(self, size: int) -> list[bytes]:
        """Read whole lines, at least one if there is any."""
        chunk = os.pread(self._file, min(size, self._end - self._taken), self._taken)
        lines = [line + b"\n" for line in chunk.split(b"\n")[:-1]]
        return lines if lines or not chunk else self._next(2 * size)

    def clear(self) -> None:
        """Keep nothing of what came so far."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        os.ftruncate(self._file, 0)
        self._taken = self._end = 0
