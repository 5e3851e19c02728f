"""What a controller hears of one agent: a fold of as little memory for a million events as for ten, and bound to the agent's job.

An agent is believed about its own job alone: whatever it says of another run or another repository ends it as lost.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field

from maintainer.core.errors import EventError
from maintainer.core.events import Event, decode

LONGEST_STARTED = 100_000
"""Characters of a line in which a release is looked for."""
MOST_EARLY = 1_000
"""How many events may come before one that is missing: beyond, the hole is a hole."""


@dataclass
class Heard:
    """The events of one agent.

    `done` are the exit codes of the repositories that came to their end, `broken` says what was no event, and `release` which release of
    maintainer it runs, once it said so.
    """

    run_id: str
    repositories: Collection[str]
    done: dict[str, int] = field(default_factory=dict)
    broken: str = ""
    closing: Event | None = None
    is_interrupted: bool = False
    release: str = ""
    has_begun: bool = False
    _next: int = 1
    _early: set[int] = field(default_factory=set)

    def take(self, line: str) -> Event | None:
        """Read a line; None where it is no event of this agent's, of which the first says why it is `broken`."""
        try:
            event = decode(line)
        except EventError as error:
            self.release = self.release or _release_in(line)
            self.broken = self.broken or error.message
            return None
        if event.source != "agent" or event.run_id != self.run_id or event.repository not in (None, *self.repositories):
            self.broken = self.broken or f"it speaks of another run or repository: {event.run_id}, {event.repository}"
            return None
        self.has_begun = True
        if event.event == "run.started":
            self.release = str(event.fields["maintainer"])[:40]
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

    def blame_release(self, ours: str) -> str:
        """Say that the agent is of another release than the controller, where it is: what that reads as broken may be right there."""
        if not self.release or self.release == ours:
            return ""
        return f"its machine runs maintainer {self.release}, and this controller is {ours}: install the same release on both"

    def _count(self, number: int) -> None:
        if number == self._next:
            self._next += 1
            while self._next in self._early:
                self._early.remove(self._next)
                self._next += 1
        elif number > self._next and len(self._early) < MOST_EARLY:
            self._early.add(number)


_STARTED = re.compile(r'"maintainer": ?"([0-9A-Za-z.+!-]{1,40})"')


def _release_in(line: str) -> str:
    """Return the release in what another release writes of its start, even where nothing else of it can be read; empty in all else."""
    found = _STARTED.search(line[:LONGEST_STARTED]) if '"run.started"' in line[:LONGEST_STARTED] else None
    return found[1] if found else ""
