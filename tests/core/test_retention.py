"""What counts: plausible, expected, and out of probation; each verdict with its reasons, each limit at its edge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.records import Extent
from maintainer.core.retention import (
    CAME_LATE,
    MEASURED_SUSPECTS,
    Candidate,
    Expectation,
    Limits,
    Verdict,
    allow,
    came_late,
    groups,
    judge,
    odd_days,
)
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


MEASURED: dict[str, Extent] = {}
"""What new ones will be measured at, by id."""


def follow(past: list[Candidate], day: float, extent: Extent, **more: object) -> Candidate:
    """Return a new one, which no run has judged yet."""
    at = WHEN + day * DAY
    MEASURED[f"n{day}"] = extent
    return replace(GOOD, id=f"n{day}", time=at, first_seen=at, **more)  # type: ignore[arg-type]


def fresh(days: Iterable[float]) -> list[Candidate]:
    """Return new ones that hold what is usual."""
    return [follow([], day, Extent(SIZE, SIZE, SIZE)) for day in days]


def measure(candidate: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
    extent = MEASURED.get(candidate.id, Extent(SIZE, SIZE, SIZE))
    return replace(extent, beside=previous.name) if previous else Extent(extent.size)


def verdict(found: list[Candidate], *, day: float = 100, limits: Limits = LIMITS, expected: Expectation = EXPECTED) -> Verdict:
    return judge(found, expected, limits, measure, since=WHEN, now=WHEN + day * DAY)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"time": WHEN + LIMITS.skew + SECOND}, "but was there at"),
        ({"time": WHEN - LIMITS.longest_backup - SECOND}, "more than 7 days before"),
        ({"host": "web2"}, "host 'web2' with '/srv' is not expected"),
        ({"paths": ("/srv", "/etc")}, "is not expected"),
        ({"suspect": "it was hidden before first contact"}, "hidden"),
        ({"extent": Extent(0, why="names tree 1234, which no index has")}, "names tree"),
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
    judged = judge([*PAST, follow(PAST, 20, extent)], EXPECTED, LIMITS, measure, since=WHEN, now=WHEN + 20 * DAY)
    assert [says in reasons[0] for _, reasons in judged.suspect] == ([True] if says else [])


def test_who_shrinks_a_little_each_day_is_noticed_before_half_is_gone() -> None:
    found = history(range(20))
    for day in range(20, 30):
        size = int(SIZE * 0.9 ** (day - 19))
        found.append(follow(found, day, Extent(size, int(size / 0.9), size)))
    judged = verdict(found)
    assert judged.extents[judged.suspect[0][0].id].size > 0.4 * SIZE


def test_a_host_whose_backups_share_little_is_not_rewritten_each_day() -> None:
    """A compressed dump of a database, say: once a person has endorsed one, only the size speaks."""
    found = history([0])
    for day in range(1, 60):
        found.append(follow(found, day, Extent(SIZE, SIZE, SIZE // (day + 9))))
    assert verdict(found, day=200).suspect
    found[1] = replace(found[1], endorsed=True)
    assert not verdict(found, day=200).suspect
    found.append(follow(found, 60, Extent(SIZE // 3, SIZE, 0)))
    assert len(verdict(found, day=200).suspect) == 1


def test_what_a_person_endorsed_begins_what_is_usual_anew() -> None:
    small = follow(PAST, 20, Extent(MIB, SIZE, MIB))
    after = follow([small], 21, Extent(MIB, MIB, MIB))
    judged = verdict([*PAST, small, after])
    assert len(judged.suspect) == 2
    known = [replace(one, extent=judged.extents[one.id]) for one in (small, after)]
    assert not verdict([*PAST, replace(known[0], endorsed=True), known[1]]).suspect


def test_content_is_judged_once_and_again_only_when_a_later_predecessor_is_plausible() -> None:
    asked: list[tuple[str, str]] = []

    def ask(candidate: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
        asked.append((candidate.id, previous.id if previous else ""))
        return Extent(SIZE, SIZE, SIZE, previous.name if previous else "")

    past = history(range(5))
    bad = replace(past[4], extent=Extent(0, SIZE, 0, past[1].name, "it has shrunk"))
    judge([past[0], *past[3:]], EXPECTED, LIMITS, ask, since=WHEN, now=WHEN + 5 * DAY)
    judge([*past[:2], bad], EXPECTED, LIMITS, ask, since=WHEN, now=WHEN + 5 * DAY)
    assert asked == []
    judge([*past[:3], bad], EXPECTED, LIMITS, ask, since=WHEN, now=WHEN + 5 * DAY)
    judge([*past[:4], replace(past[4], extent=None)], EXPECTED, LIMITS, ask, since=WHEN, now=WHEN + 5 * DAY)
    assert asked == [(bad.id, past[2].id), (past[4].id, past[3].id)]


@pytest.mark.parametrize(("fakes", "suspects"), [(4, 0), (7, 0), (8, 9), (24, 25)])
def test_more_in_a_day_than_a_person_at_work_makes_are_all_suspect(fakes: int, suspects: int) -> None:
    judged = verdict([*PAST, *fresh(20 + number / 25 for number in range(fakes + 1))])
    assert len(judged.suspect) == len(judged.crowded) == suspects
    assert not judged.suspect or "where 8 would be usual at most" in judged.suspect[0][1][0]


def test_more_than_twice_the_usual_and_one_are_suspect_where_that_is_more() -> None:
    past = history(number / 6 for number in range(120))
    for number, suspects in ((13, 0), (14, 14)):
        assert len(verdict([*past, *fresh(21.01 + one / 25 for one in range(number))]).suspect) == suspects


def test_the_content_of_a_flood_is_looked_at_a_few_a_night_and_an_honest_one_at_once() -> None:
    flood = [replace(one, id=f"f{number}", host="aaa") for number, one in enumerate(fresh([20] * 500))]
    crowd = [replace(one, id=f"c{number}") for number, one in enumerate(fresh([20.5] * 500))]
    honest = follow(PAST, 22, Extent(SIZE, SIZE, SIZE))
    found = [*PAST, *flood, *crowd, honest]
    known = {one.id for one in PAST}
    for night in range(1, 4):
        judged = verdict(found, day=23)
        known |= judged.extents.keys()
        assert known - {one.id for one in PAST} >= {honest.id}
        assert len(known) == len(PAST) + 1 + night * MEASURED_SUSPECTS
        assert len(judged.suspect) == 1000
        found = [replace(one, extent=judged.extents.get(one.id), suspect=one.suspect or judged.crowded.get(one.id, "")) for one in found]


def test_a_flood_does_not_become_usual_by_going_on() -> None:
    found = list(PAST)
    for day in range(20, 50):
        found += fresh(day + hour / 24 for hour in range(24))
        judged = verdict(found, day=day + 1)
        found = [replace(one, extent=judged.extents.get(one.id), suspect=one.suspect or judged.crowded.get(one.id, "")) for one in found]
    assert {one.id for one in verdict(found).counting} == {one.id for one in PAST}


def test_hourly_backups_are_as_many_as_they_are_from_the_first_day_on() -> None:
    assert not verdict(fresh(number / 24 for number in range(24 * 30))).suspect


def test_what_a_policy_has_thinned_makes_no_flood_of_what_it_has_not_yet() -> None:
    hourly = history([30 + number / 24 for number in range(24 * 14)])
    assert not verdict([*PAST, *hourly, *fresh(44 + number / 24 for number in range(24))]).suspect


@pytest.mark.parametrize(("every", "suspects"), [(timedelta(hours=2), 0), (timedelta(days=1), 30), (timedelta(days=7), 30)])
def test_what_is_configured_goes_before_what_is_usual(every: timedelta, suspects: int) -> None:
    found = fresh(number / 12 for number in range(30))
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


@pytest.mark.parametrize(
    ("every", "day", "is_late"), [(1, 21, False), (1, 21.1, True), (0, 26, False), (0, 26.1, True), (10, 39, False), (10, 39.1, True)]
)
def test_a_host_is_late_after_twice_what_is_expected_or_when_it_is_stale(every: float, day: float, is_late: bool) -> None:
    assert bool(verdict(PAST, day=day, expected={GROUP: every * DAY}).late) == is_late


def test_a_host_that_is_expected_and_never_came_is_late_and_one_that_is_not_expected_never_is() -> None:
    assert verdict([], day=100).late == {GROUP: "none has ever come"}
    assert not verdict(PAST, day=1000, expected={}).late


@pytest.mark.parametrize(
    ("every", "day", "is_late"), [(1, 0, False), (1, 2, False), (1, 2.1, True), (0, 7, False), (0, 7.1, True), (10, 20.1, True)]
)
def test_the_first_snapshot_of_a_new_repository_is_awaited_as_long_as_a_next_one(every: float, day: float, is_late: bool) -> None:
    assert bool(verdict([], day=day, expected={GROUP: every * DAY}).late) == is_late


def test_a_host_that_has_another_name_than_is_expected_is_told_at_once() -> None:
    other = ("other", ("/",))
    assert list(verdict(history([0]), day=0, expected={other: DAY}).late) == [other]


def test_a_late_host_whose_snapshots_come_and_are_suspect_is_told_so() -> None:
    (why,) = verdict([*PAST, replace(follow(PAST, 28, Extent(SIZE, SIZE, SIZE)), suspect="it shrank")], day=30).late.values()
    assert "newer ones came, and are suspect" in why
    (why,) = verdict(PAST, day=30).late.values()
    assert "suspect" not in why


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


def quarter_hourly(days: int) -> list[Candidate]:
    """Return 104 days of it before us, and others after."""
    return [replace(one, before_us=one.first_seen < WHEN + 104 * DAY) for one in fresh(number / 96 for number in range(96 * days))]


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("days", [104, 105])
def test_what_months_before_us_had_is_usual(accepted: bool, days: int) -> None:
    """10,000 snapshots, one each quarter of an hour, and then a day more of it."""
    found = quarter_hourly(days)
    assert not judge(found, EXPECTED, LIMITS, measure, since=WHEN, now=WHEN + days * DAY, accepted=accepted).suspect


@pytest.mark.parametrize(("accepted", "suspects"), [(True, 0), (False, 131)])
def test_an_odd_day_before_us_is_shown_and_settled_by_accepting_it(accepted: bool, suspects: int) -> None:
    found = [replace(one, before_us=True) for one in (*fresh(range(30)), *fresh(10.01 + number / 200 for number in range(129)))]
    assert odd_days(found, LIMITS) == ("130 of web1 on 2026-01-11",)
    judged = judge(found, EXPECTED, LIMITS, measure, since=WHEN, now=WHEN + 31 * DAY, accepted=accepted)
    assert len(judged.suspect) == suspects
    assert odd_days(fresh(range(30)), LIMITS) == ()


def test_half_hourly_backups_of_a_new_host_are_as_many_as_they_are() -> None:
    assert not verdict(fresh(number / 48 for number in range(48 * 5))).suspect


@given(st.lists(st.tuples(st.integers(-5, 40), st.booleans()), max_size=12))
def test_at_first_contact_those_are_doubted_that_came_late_where_others_did_not(drawn: list[tuple[int, bool]]) -> None:
    snapshots = {str(number): (WHEN, WHEN - timedelta(days=days, seconds=exact)) for number, (days, exact) in enumerate(drawn)}
    late = {str(number) for number, (days, exact) in enumerate(drawn) if timedelta(days=days, seconds=exact) > LIMITS.longest_backup}
    doubted = came_late(snapshots, LIMITS)
    assert set(doubted) == (late if len(late) < len(drawn) else set())
    assert all(why.startswith(CAME_LATE) for why in doubted.values())
