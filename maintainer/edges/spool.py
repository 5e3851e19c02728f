"""Lines on disk, taken in the order in which they came."""

from __future__ import annotations

import os
import threading
from tempfile import TemporaryFile

from maintainer.edges.scratch import disk


class Spool:
    """A nameless file of lines. Any thread may append while another takes."""

    def __init__(self) -> None:
        self._file = TemporaryFile(dir=disk())  # noqa: SIM115 - open until `close`
        self._taken = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give the disk back."""
        self._file.close()

    def append(self, line: str) -> None:
        """Keep a line; it holds no newline."""
        with self._lock:
            self._file.seek(0, os.SEEK_END)
            self._file.write(line.encode() + b"\n")

    def take(self, most: int) -> list[bytes]:
        """Return the next lines, each with its newline, and keep them no longer."""
        with self._lock:
            self._file.seek(self._taken)
            lines = [line for _, line in zip(range(most), self._file, strict=False)]
            self._taken += sum(map(len, lines))
            if len(lines) < most:
                self._clear()
            return lines

    def clear(self) -> None:
        """Keep nothing of what came so far."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._taken = 0
