"""Where an agent runs: one module a kind of machine, behind one protocol."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
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

    @property
    def has_died(self) -> bool:
        """Tell, once `wait` has returned, whether it was lost in the middle of its work, and nothing of it runs any more."""

    @property
    def spent(self) -> float | None:
        """Return what its machine cost, in USD, once `wait` has returned; None where that is not known."""


class Compute(Protocol):
    """A kind of machine."""

    @property
    def patience(self) -> timedelta:
        """Return how long a run goes on trying to get one."""

    @property
    def budget(self) -> float:
        """Return what the machines of one run may cost, in USD, before no other is launched; 0 is no limit."""

    @property
    def is_paid(self) -> bool:
        """Tell whether a launch costs anything: then a month's budget holds for it."""

    def launch(self, job: Job, refused: int = 0) -> Agent:
        """Start an agent on a job, of which this many launches were refused before. NoInstanceError: one that may pass may do so later."""

    def clear(self, run_id: str) -> None:
        """End every machine that is left of a run, or of its earlier attempts: whose end failed, or that nobody saw."""
