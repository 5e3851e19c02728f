"""A repository's events, kept in the state store while they happen: whoever listened may be gone by the end, and so may this machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from maintainer.core.errors import MaintainerError
from maintainer.core.events import Event, encode
from maintainer.edges.log import diagnostics
from maintainer.edges.statestore import StateStore

EVERY_S = 30.0
"""What a machine's sudden end may cost of the story."""


class Journal:
    """Keeps the events of a list that grows, in pieces, from a thread of its own: an event must not wait for the store."""

    def __init__(self, state: StateStore, run_id: str, events: Sequence[Event]) -> None:
        """Keep what is appended to `events` from now on."""
        self._state = state
        self._run_id = run_id
        self._events = events
        self._kept = len(events)
        self._pieces = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_on, name="journal", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Keep the rest."""
        self._ended.set()
        self._thread.join()
        self._keep()

    def _keep_on(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._keep()

    def _keep(self) -> None:
        """Keep the next piece; that this fails is no reason to fail the run, whose ledger entry is what counts."""
        piece = self._events[self._kept :]
        if not piece:
            return
        try:
            self._state.save_events(self._run_id, self._pieces, "".join(encode(event) + "\n" for event in piece).encode())
        except MaintainerError as error:
            diagnostics().warning("events not kept in the state store", reason=str(error))
            return
        self._kept += len(piece)
        self._pieces += 1
