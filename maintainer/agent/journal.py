"""A repository's events, kept in the state store while they happen: whoever listened may be gone by the end, and so may this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from maintainer.agent.beside import again
from maintainer.core.errors import MaintainerError
from maintainer.core.events import Event, encode
from maintainer.edges.log import diagnostics
from maintainer.edges.statestore import StateStore

EVERY_S = 30.0
"""What a machine's sudden end may cost of the story."""


@contextmanager
def journal(state: StateStore, run_id: str, events: Sequence[Event]) -> Iterator[None]:
    """Keep what is appended to `events` from now on, in pieces, beside the run: an event must not wait for the store."""
    pieces = _Pieces(state, run_id, events)
    try:
        with again(pieces.keep, EVERY_S, "journal"):
            yield
    finally:
        pieces.keep()


class _Pieces:
    def __init__(self, state: StateStore, run_id: str, events: Sequence[Event]) -> None:
        self._state = state
        self._run_id = run_id
        self._events = events
        self._kept = len(events)
        self._pieces = 0

    def keep(self) -> bool:
        """Keep what is new; that this fails is no reason to fail the run, whose ledger entry is what counts."""
        while piece := self._events[self._kept :]:
            body = "".join(encode(event) + "\n" for event in piece).encode()
            try:
                kept = self._state.save_events(self._run_id, self._pieces, body)
            except MaintainerError as error:
                diagnostics().warning("events not kept in the state store", reason=str(error))
                return True
            self._pieces += 1
            # What is no beginning of ours is somebody else's: ours goes into the next piece.
            self._kept += kept.count(b"\n") if body.startswith(kept) else 0
        return True
