"""Where an agent runs: one module a kind of machine, behind one protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from maintainer.core.job import Job


class Agent(Protocol):
    """A running agent."""

    def lines(self) -> Iterator[str]:
        """Yield the lines that it writes, until it ends."""

    def signal(self, number: int) -> None:
        """Ask it to end in order."""

    def wait(self) -> int:
        """Return its exit status once it has ended: NO_INSTANCE if its machine was taken back, negative for the signal that killed it."""

    def last_words(self) -> str:
        """Return the end of what it wrote beside its events."""


class Compute(Protocol):
    """A kind of machine."""

    def launch(self, job: Job) -> Agent:
        """Start an agent on a job."""
