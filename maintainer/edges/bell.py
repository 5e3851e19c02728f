"""What a signal's handler may ring at whatever moment, and its own thread waits for."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """Rung once, for good. Of one thread: it waits, and its handlers ring.

    A threading.Event has a lock, which the wait may hold just when the signal comes: `set` would then wait for ever. A SimpleQueue's `put`
    may come in the middle of its own thread's `get` (Python's library reference, "queue").
    """

    def __init__(self) -> None:
        self.is_rung = False
        self._woken: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Ring it; whoever waits goes on."""
        self.is_rung = True
        self._woken.put(None)

    def wait(self, seconds: float) -> bool:
        """Wait so long at most; return whether it was rung."""
        if not self.is_rung:
            with suppress(Empty):
                self._woken.get(timeout=max(seconds, 0))
        return self.is_rung
