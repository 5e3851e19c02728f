"""The one place that reads the time or sleeps."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What time it is, for whoever is handed one."""

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""

    def monotonic(self) -> float:
        """Return seconds since some moment, never going back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """This machine's clock; in a sandbox moved by the offset that a file there holds, as the endpoint's is."""

    def __init__(self, offset_file: Path | None = None) -> None:
        self._offset_file = offset_file

    def now(self) -> datetime:
        """Return the time of day, aware, in UTC."""
        offset = read_offset(self._offset_file) if self._offset_file else 0.0
        return datetime.now(UTC) + timedelta(seconds=offset)

    def monotonic(self) -> float:
        """Return seconds since some moment, never going back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


def read_offset(path: Path) -> float:
    """Return the seconds by which a sandbox's time is moved (a file in libfaketime's form, `+SECONDS`); 0 without the file."""
    try:
        return float(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return 0.0


def write_offset(path: Path, seconds: float) -> None:
    """Move a sandbox's time; the file is replaced whole, since libfaketime reads it at any moment."""
    new = path.with_suffix(".new")
    new.write_text(f"+{seconds:.0f}", encoding="ascii")
    new.replace(path)
