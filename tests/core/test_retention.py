"""What counts: plausible, expected, and out of probation; each verdict with its reasons."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.retention import LONGEST_BACKUP, SKEW, Candidate, groups, judge
from tests.support.fakestore import WHEN

PROBATION = timedelta(days=14)
GOOD = Candidate("a", WHEN, "web1", ("/srv",), WHEN)
EXPECTED = frozenset({("web1", ("/srv",))})
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": WHEN + SKEW + SECOND}, "but was there at"),
        ({"time": WHEN - LONGEST_BACKUP - SECOND}, "more than 7 days before"),
        ({"host": "web2"}, "host 'web2' with '/srv' is not expected"),
        ({"paths": ("/srv", "/etc")}, "is not expected"),
        ({"suspect": "it was hidden before first contact"}, "hidden"),
    ],
)
def test_a_suspect_is_told_why(changes: dict[str, object], says: str) -> None:
    ((found, reasons),) = judge([replace(GOOD, **changes)], EXPECTED, PROBATION, now=WHEN + PROBATION).suspect  # type: ignore[arg-type]
    assert found.id == "a"
    assert says in reasons[0]


@pytest.mark.parametrize("offset", [SKEW, -LONGEST_BACKUP, timedelta(0)])
def test_a_clock_that_is_a_little_off_and_a_backup_that_takes_days_are_plausible(offset: timedelta) -> None:
    assert judge([replace(GOOD, time=WHEN + offset)], EXPECTED, PROBATION, now=WHEN + PROBATION).counting == ("a",)


@given(st.floats(0, 30))
def test_it_counts_from_the_end_of_probation_on(days: float) -> None:
    verdict = judge([GOOD], EXPECTED, PROBATION, now=WHEN + timedelta(days=days))
    assert (verdict.counting, verdict.in_probation) == ((("a",), ()) if days >= 14 else ((), ("a",)))


def test_nothing_counts_where_nothing_is_expected() -> None:
    assert judge([GOOD], frozenset(), PROBATION, now=WHEN + PROBATION).counting == ()


def test_groups_are_what_a_person_confirms() -> None:
    assert groups([GOOD, replace(GOOD, id="b"), replace(GOOD, host="db")]) == (("db", ("/srv",)), ("web1", ("/srv",)))
