"""What a controller hears of one agent: a fold of as little memory for a million events as for ten, and bound to the agent's job.

An agent is believed about its own job alone: whatever it says of another run or another repository ends it as lost.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from maintainer.core.errors import EventError
from maintainer.core.events import Event, decode

MOST_EARLY = 1_000
"""How many events may come before one that is missing: beyond, the hole is a hole."""


@dataclass
class Heard:
    """The events of one agent. `done` are the exit codes of the repositories that came to their end, `broken` says what was no event."""

    run_id: str
    repositories: Collection[str]
    done: dict[str, int] = field(default_factory=dict)
    broken: str = ""
    closing: Event | None = None
    is_interrupted: bool = False
    has_begun: bool = False
    _next: int = 1
    _early: set[int] = field(default_factory=set)

    def take(self, line: str) -> Event | None:
        """Read a line; None where it is no event of this agent's, of which the first says why it is `broken`."""
        try:
            event = decode(line)
        except EventError as error:
            self.broken = self.broken or error.message
            return None
        if event.source != "agent" or event.run_id != self.run_id or event.repository not in (None, *self.repositories):
            self.broken = self.broken or f"it speaks of another run or repository: {event.run_id}, {event.repository}"
            return None
        self.has_begun = True
        self._count(event.seq)
        self.closing = event if event.event == "run.closed" else None
        self.is_interrupted |= event.event == "run.interrupted"
        if event.event == "repository.finished" and event.repository is not None and isinstance(code := event.fields["exit_code"], int):
            self.done[event.repository] = code
        return event

    @property
    def gap(self) -> int | None:
        """Return the first number that is missing, None where none is; repeats are no gap."""
        return self._next if self._early else None

    def _count(self, number: int) -> None:
        if number == self._next:
            self._next += 1
            while self._next in self._early:
                self._early.remove(self._next)
                self._next += 1
        elif number > self._next and len(self._early) < MOST_EARLY:
            self._early.add(number)
