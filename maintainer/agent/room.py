"""Room in memory that threads share: what a host may put is read by many at a time, and yet never more of it than this."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """So many bytes. Whoever wants more than there are in all waits until it is alone."""

    def __init__(self, size: int) -> None:
        """Begin empty."""
        self._size = size
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Hold `size` bytes of it while the block lasts; wait for them first."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + size <= self._size)
            self._held += size
        try:
            yield
        finally:
            with self._changed:
                self._held -= size
                self._changed.notify_all()
