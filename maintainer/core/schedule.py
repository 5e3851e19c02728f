"""When a service runs: at fixed moments of UTC, a period apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def latest(now: datetime, at: timedelta, every: timedelta) -> datetime:
    """Return the last moment that is not after now: `at` past midnight (UTC) of some day, and a whole number of periods from there."""
    first = _EPOCH + at
    return first + every * ((now - first) // every)


def following(now: datetime, at: timedelta, every: timedelta, last: datetime | None) -> datetime:
    """Return when to run next; a moment that is past, where one was missed.

    `last` is when a run was begun last, or None where nobody knows: then no run was missed. However many moments passed while a run went
    on, or while no service was there, they are made up for by one run.
    """
    due = latest(now, at, every)
    return due if last is not None and last < due else due + every
