"""A repository's events, kept in the state store while they happen: whoever listened may be gone by the end, and so may this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from maintainer.agent.beside import again
from maintainer.core.errors import MaintainerError
from maintainer.edges.log import diagnostics
from maintainer.edges.spool import Spool
from maintainer.edges.statestore import StateStore

EVERY_S = 30.0
"""What a machine's sudden end may cost of the story."""
MOST = 10_000
"""Events of a piece."""


@contextmanager
def journal(state: StateStore, run_id: str, events: Spool) -> Iterator[None]:
    """Keep the events whose text is appended to `events` from now on, in pieces, beside the run: an event must not wait for the store.

    What is kept is taken from `events`, and so is what was in it before.
    """
    events.clear()
    pieces = _Pieces(state, run_id, events)
    try:
        with again(pieces.keep, EVERY_S, "journal"):
            yield
    finally:
        pieces.keep()


class _Pieces:
    def __init__(self, state: StateStore, run_id: str, events: Spool) -> None:
        self._state = state
        self._run_id = run_id
        self._events = events
        self._piece: list[bytes] = []
        self._pieces = 0

    def keep(self) -> bool:
        """Keep what is new; that this fails is no reason to fail the run, whose ledger entry is what counts."""
        while self._next():
            body = b"".join(self._piece)
            try:
                kept = self._state.save_events(self._run_id, self._pieces, body)
            except MaintainerError as error:
                diagnostics().warning("events not kept in the state store", reason=str(error))
                return True
            self._pieces += 1
            # What is no beginning of ours is somebody else's: ours goes into the next piece.
            if body.startswith(kept):
                del self._piece[: kept.count(b"\n")]
        return True

    def _next(self) -> bool:
        """Take more events into the piece that is to be kept next."""
        if len(self._piece) < MOST:
            self._piece += self._events.take(MOST - len(self._piece))
        return bool(self._piece)
