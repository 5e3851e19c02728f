"""What counts: plausible, expected, and out of probation; each verdict with its reasons, each limit at its edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.entries import Extent
from maintainer.core.retention import Candidate, Expectation, Limits, Verdict, allow, groups, judge
from tests.support.fakestore import WHEN

LIMITS = Limits()
GROUP = ("web1", ("/srv",))
GOOD = Candidate("a", WHEN, "web1", ("/srv",), WHEN)
EXPECTED: Expectation = {GROUP: timedelta(0)}
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
MIB = 1 << 20
SIZE = 100 * MIB


def history(days: Iterable[float], size: int = SIZE) -> list[Candidate]:
    """Return one snapshot at each of these days, which holds all that the one before it held."""
    found: list[Candidate] = []
    for number, day in enumerate(days):
        at = WHEN + day * DAY
        beside = found[-1].name if found else ""
        extent = Extent(size, size if found else 0, size if found else 0, beside)
        found.append(replace(GOOD, id=f"s{number:05d}", time=at, first_seen=at, extent=extent))
    return found


def follow(past: list[Candidate], day: float, extent: Extent, **more: object) -> Candidate:
    at = WHEN + day * DAY
    return replace(GOOD, id=f"n{day}", time=at, first_seen=at, extent=replace(extent, beside=past[-1].name), **more)  # type: ignore[arg-type]


def never(candidate: Candidate, _: Candidate | None) -> Extent:
    raise AssertionError(candidate.id)


def verdict(found: list[Candidate], *, day: float = 100, limits: Limits = LIMITS, expected: Expectation = EXPECTED) -> Verdict:
    return judge(found, expected, limits, lambda *_: Extent(SIZE, SIZE, SIZE), now=WHEN + day * DAY)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": WHEN + LIMITS.skew + SECOND}, "but was there at"),
        ({"time": WHEN - LIMITS.longest_backup - SECOND}, "more than 7 days before"),
        ({"host": "web2"}, "host 'web2' with '/srv' is not expected"),
        ({"paths": ("/srv", "/etc")}, "is not expected"),
        ({"suspect": "it was hidden before first contact"}, "hidden"),
        ({"extent": Extent(0, strange="names tree 1234, which no index has")}, "names tree"),
    ],
)
def test_a_suspect_is_told_why(changes: dict[str, object], says: str) -> None:
    ((found, reasons),) = verdict([replace(GOOD, **changes)]).suspect  # type: ignore[arg-type]
    assert found.id == "a"
    assert says in reasons[0]


@pytest.mark.parametrize("offset", [LIMITS.skew, -LIMITS.longest_backup, timedelta(0)])
def test_a_clock_that_is_a_little_off_and_a_backup_that_takes_days_are_plausible(offset: timedelta) -> None:
    assert verdict([replace(GOOD, time=WHEN + offset)]).counting


@given(st.floats(0, 30))
def test_it_counts_from_the_end_of_probation_on(days: float) -> None:
    judged = verdict([GOOD], day=days)
    assert (len(judged.counting), len(judged.in_probation)) == ((1, 0) if days >= 14 else (0, 1))


def test_nothing_counts_where_nothing_is_expected() -> None:
    assert verdict([GOOD], expected={}).counting == ()


PAST = history(range(20))


@pytest.mark.parametrize(
    ("extent", "says"),
    [
        (Extent(SIZE, SIZE, SIZE), ""),
        (Extent(SIZE // 2, SIZE, SIZE // 2), ""),
        (Extent(SIZE // 2 - 1, SIZE, SIZE // 2 - 1), "holds 50.0 MiB, where 100.0 MiB are usual: it has shrunk"),
        (Extent(0, SIZE, 0), "it has shrunk"),
        (Extent(SIZE, SIZE, SIZE // 4), ""),
        (Extent(SIZE, SIZE, SIZE // 4 - MIB), "holds 24% of what the one before it held, where 25% would be little"),
        (Extent(10 * SIZE, SIZE, 0), "it was rewritten"),
    ],
)
def test_what_shrinks_by_half_or_is_rewritten_is_suspect(extent: Extent, says: str) -> None:
    judged = judge([*PAST, follow(PAST, 20, extent)], EXPECTED, LIMITS, never, now=WHEN + 20 * DAY)
    assert [says in reasons[0] for _, reasons in judged.suspect] == ([True] if says else [])


def test_who_shrinks_a_little_each_day_is_noticed_before_half_is_gone() -> None:
    found = history(range(20))
    for day in range(20, 30):
        size = int(SIZE * 0.9 ** (day - 19))
        found.append(follow(found, day, Extent(size, int(size / 0.9), size)))
    ((first, _), *_) = verdict(found).suspect
    assert first.extent is not None
    assert first.extent.size > 0.4 * SIZE


def test_a_host_whose_backups_share_little_is_not_rewritten_each_day() -> None:
    """A compressed dump of a database, say: only the other half of the size speaks."""
    found = history([0])
    for day in range(1, 30):
        found.append(follow(found, day, Extent(SIZE, SIZE, SIZE // 3)))
    for day in range(30, 60):
        found.append(follow(found, day, Extent(SIZE, SIZE, SIZE // 11)))
    assert not verdict(found, day=200).suspect


def test_what_a_person_endorsed_begins_what_is_usual_anew() -> None:
    small = follow(PAST, 20, Extent(MIB, SIZE, MIB), endorsed=True)
    after = follow([small], 21, Extent(MIB, MIB, MIB))
    assert not verdict([*PAST, small, after]).suspect
    assert len(verdict([*PAST, replace(small, endorsed=False), after]).suspect) == 2


def test_a_later_predecessor_is_measured_and_a_forgotten_one_changes_nothing() -> None:
    asked: list[tuple[str, str]] = []

    def measure(candidate: Candidate, previous: Candidate | None) -> Extent:
        asked.append((candidate.id, previous.id if previous else ""))
        return Extent(SIZE, SIZE, SIZE, previous.name if previous else "")

    past = history(range(5))
    judge([past[0], *past[3:]], EXPECTED, LIMITS, measure, now=WHEN + 5 * DAY)
    assert asked == []
    fresh = replace(past[4], extent=None)
    judge([*past[:4], fresh], EXPECTED, LIMITS, measure, now=WHEN + 5 * DAY)
    assert asked == [(past[4].id, past[3].id)]
    judge([*past[:3], replace(past[4], extent=Extent(SIZE, SIZE, 0, past[1].name))], EXPECTED, LIMITS, measure, now=WHEN + 5 * DAY)
    assert asked[1:] == [(past[4].id, past[2].id)]


@pytest.mark.parametrize(("fakes", "suspects"), [(2, 0), (3, 4), (24, 25)])
def test_more_in_a_day_than_twice_the_usual_and_one_are_all_suspect(fakes: int, suspects: int) -> None:
    found = [*PAST, *history([20 + number / 25 for number in range(fakes + 1)])]
    found = [replace(one, id=f"{number}") for number, one in enumerate(found)]
    judged = verdict(found)
    assert len(judged.suspect) == suspects
    assert not judged.suspect or "where 3 would be usual at most" in judged.suspect[0][1][0]


def test_a_flood_does_not_become_usual_by_going_on() -> None:
    found = [*PAST, *history([20 + number / 24 for number in range(24 * 30)])]
    found = [replace(one, id=f"{number}") for number, one in enumerate(found)]
    assert {one.id for one in verdict(found).counting} <= {one.id for one in found[: len(PAST) + 3]}


def test_hourly_backups_are_as_many_as_they_are_from_the_first_day_on() -> None:
    assert not verdict(history([number / 24 for number in range(24 * 30)])).suspect


@pytest.mark.parametrize(("every", "suspects"), [(timedelta(hours=6), 0), (timedelta(days=1), 10), (timedelta(days=7), 10)])
def test_what_is_configured_goes_before_what_is_usual(every: timedelta, suspects: int) -> None:
    found = history([number / 4 for number in range(10)])
    assert len(verdict(found, expected={GROUP: every}).suspect) >= suspects - 4 * bool(suspects)
    assert bool(verdict(found, expected={GROUP: every}).suspect) == bool(suspects)


@pytest.mark.parametrize(
    ("days", "every", "day", "is_stale"),
    [
        (range(20), 0, 26, False),
        (range(20), 0, 26.1, True),
        (range(0, 200, 10), 0, 220, False),
        (range(0, 200, 10), 0, 220.1, True),
        ([0], 0, 7.1, True),
        ([0], 5, 15, False),
        ([0], 5, 15.1, True),
        ([], 0, 1, False),
    ],
)
def test_a_host_is_stale_after_a_week_or_three_times_what_is_usual(days: Iterable[float], every: float, day: float, is_stale: bool) -> None:
    judged = verdict(history(days), day=day, expected={GROUP: every * DAY})
    assert list(judged.stale) == ([GROUP] if is_stale else [])


def test_a_suspect_keeps_no_host_fresh() -> None:
    empty = follow(PAST, 60, Extent(0, SIZE, 0))
    assert "is of 2026-01-20" in verdict([*PAST, empty], day=60).stale[GROUP]


@pytest.mark.parametrize(
    ("counting", "asked", "at_least", "share", "forgotten"),
    [(10, 4, 3, 0.5, 4), (10, 9, 3, 0.5, 5), (10, 9, 8, 0.5, 2), (3, 2, 3, 1.0, 0), (3, 3, 1, 1.0, 2), (2, 2, 5, 1.0, 0)],
)
def test_the_oldest_go_first_and_no_more_than_the_limits_allow(
    counting: int, asked: int, at_least: int, share: float, forgotten: int
) -> None:
    found = history(range(counting))
    judged = Verdict(counting=tuple(reversed(found)))
    allowed = allow([one.id for one in found[-asked:]], judged, Limits(at_least=at_least, share=share))
    assert list(allowed.forget) == [one.id for one in found[-asked:]][:forgotten]
    assert bool(allowed.held) == (forgotten < asked)


def test_of_a_stale_host_and_of_what_does_not_count_nothing_is_forgotten() -> None:
    found = history(range(10))
    assert not allow([one.id for one in found], Verdict(in_probation=tuple(found)), Limits(at_least=0, share=1)).forget
    stale = allow(["s00001"], Verdict(counting=tuple(found), stale={GROUP: "old"}), LIMITS)
    assert (stale.forget, stale.held) == ((), {GROUP: "old"})


def test_groups_are_what_a_person_confirms() -> None:
    assert groups([GOOD, replace(GOOD, id="b"), replace(GOOD, host="db")]) == (("db", ("/srv",)), ("web1", ("/srv",)))
