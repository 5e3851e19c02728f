"""Which snapshots count: the policy is applied to history as it stood a probation ago. Time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from maintainer.core.entries import Group

SKEW = timedelta(minutes=10)
"""How far a host's clock may be ahead of the store's."""
LONGEST_BACKUP = timedelta(days=7)
"""A snapshot's time is its backup's start: it may lie so far before its object's."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot as it claims to be, `first_seen` by the store's clock, and what the ledger holds against it (`suspect`)."""

    id: str
    time: datetime
    host: str
    paths: tuple[str, ...]
    first_seen: datetime
    suspect: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts, what is plausible and waits (`in_probation`), and what is suspect, with the reasons."""

    counting: tuple[str, ...]
    in_probation: tuple[str, ...]
    suspect: tuple[tuple[Candidate, tuple[str, ...]], ...]


def suspicion(candidate: Candidate, expected: frozenset[Group]) -> tuple[str, ...]:
    """Return why a snapshot may not be the reason to forget another: no reasons, no suspicion."""
    reasons: list[str] = []
    if candidate.suspect:
        reasons.append(candidate.suspect)
    if candidate.time > candidate.first_seen + SKEW:
        reasons.append(f"claims {candidate.time:%Y-%m-%d %H:%M}, but was there at {candidate.first_seen:%Y-%m-%d %H:%M}")
    if candidate.time < candidate.first_seen - LONGEST_BACKUP:
        reasons.append(
            f"claims {candidate.time:%Y-%m-%d %H:%M}, more than 7 days before it arrived at {candidate.first_seen:%Y-%m-%d %H:%M}"
        )
    if (candidate.host, candidate.paths) not in expected:
        reasons.append(f"host {candidate.host!r} with {', '.join(map(repr, candidate.paths))} is not expected")
    return tuple(reasons)


def judge(candidates: Sequence[Candidate], expected: frozenset[Group], probation: timedelta, *, now: datetime) -> Verdict:
    """Say which snapshots count."""
    counting: list[str] = []
    waiting: list[str] = []
    suspect: list[tuple[Candidate, tuple[str, ...]]] = []
    for candidate in candidates:
        reasons = suspicion(candidate, expected)
        if reasons:
            suspect.append((candidate, reasons))
        elif candidate.first_seen + probation > now:
            waiting.append(candidate.id)
        else:
            counting.append(candidate.id)
    return Verdict(tuple(counting), tuple(waiting), tuple(suspect))


def groups(candidates: Iterable[Candidate]) -> tuple[Group, ...]:
    """Return the distinct hosts and paths, in order: what a person is asked to confirm."""
    return tuple(sorted({(candidate.host, candidate.paths) for candidate in candidates}))
