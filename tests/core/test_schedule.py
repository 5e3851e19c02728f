"""When a service runs next: at its moments, once for all that were missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.schedule import following, latest

AT, DAY = timedelta(hours=3, minutes=30), timedelta(days=1)


def when(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "last", "due"),
    [
        (when(10, 2), None, when(10, 3, 30)),
        (when(10, 4), None, when(11, 3, 30)),  # nobody knows of a run: none was missed
        (when(10, 4), when(10, 3, 30), when(11, 3, 30)),
        (when(10, 4), when(9, 3, 30), when(10, 3, 30)),  # missed: now
        (when(20, 4), when(9, 3, 30), when(20, 3, 30)),  # eleven missed: one
        (when(11, 4), when(10, 3, 31), when(11, 3, 30)),  # the last one took more than a day
        (when(10, 3, 30), when(9, 3, 30), when(10, 3, 30)),
    ],
)
def test_the_next_run(now: datetime, last: datetime | None, due: datetime) -> None:
    assert following(now, AT, DAY, last) == due


@given(
    st.integers(0, 4 * 366 * 24 * 60).map(lambda minutes: when(1, 0) + timedelta(minutes=minutes)),
    st.integers(0, 24 * 60 - 1),
    st.integers(1, 14 * 24 * 60),
)
def test_moments_are_a_period_apart_and_never_ahead(now: datetime, at: int, every: int) -> None:
    offset, period = timedelta(minutes=at), timedelta(minutes=every)
    due = latest(now, offset, period)
    assert now - period < due <= now
    assert latest(due, offset, period) == due
    assert following(now, offset, period, due) == due + period
