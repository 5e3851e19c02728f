"""What may expire: nothing pinned, nothing unknown, nothing that nobody could have answered yet."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from maintainer.core.findings import Finding, Kind, Reported, Standing
from maintainer.core.ledger import Fold
from maintainer.core.records import ADOPTED, Record, RecordsInMemory, State
from maintainer.core.release import earliest_loss, plan_release
from maintainer.core.revert import Terms
from maintainer.core.versions import KeyHistory
from tests.support.fakestore import WHEN, FakeStore

KEY = "index/" + "a" * 64
PACK = "data/bb/" + "b" * 64
DAY = timedelta(days=1)


def store(*acts: tuple[float, str]) -> FakeStore:
    """Make one key's history: `bad`, `good` or `mark` at each of these days."""
    made = FakeStore()
    for day, act in acts:
        made.now = WHEN + day * DAY
        made.mark(KEY) if act == "mark" else made.put(KEY, act.encode())
    return made


def released(made: FakeStore, fold: Fold, day: float) -> list[str]:
    histories = [KeyHistory(key, tuple(versions)) for key, versions in made.versions.items()]
    plan = plan_release(histories, fold, Terms(WHEN + day * DAY))
    return [version for versions in plan.values() for version in versions]


def admitted(made: FakeStore, pinned: int, **more: object) -> Fold:
    record = Record(State.ADMITTED, made.versions[KEY][pinned].version_id, 4, WHEN, WHEN)
    return Fold(records=RecordsInMemory({KEY: record}), commits=(WHEN + DAY, WHEN + 11 * DAY), **more)  # type: ignore[arg-type]


HEALED = ((0, "good"), (9, "bad!"), (10, "good"))


@pytest.mark.parametrize(("day", "count"), [(11, 0), (40.9, 0), (41, 2)])
def test_what_was_healed_over_waits_until_the_report_could_be_answered(day: float, count: int) -> None:
    made = store(*HEALED)
    ids = [version.version_id for version in made.versions[KEY]]
    assert released(made, admitted(made, 0), day) == ids[1:][:count]


def test_what_a_person_has_settled_need_not_wait() -> None:
    made = store(*HEALED)
    settled = Reported(Finding(Kind.OVERWRITTEN, KEY), "", Standing.ACKNOWLEDGED)
    assert len(released(made, admitted(made, 0, findings={"x": settled}), 12)) == 2


def test_nothing_is_released_while_another_version_than_the_pinned_is_on_top() -> None:
    made = store(*HEALED, (12, "bad!"))
    assert released(made, admitted(made, 1), 1000) == []


def test_what_is_released_already_is_not_again() -> None:
    made = store(*HEALED)
    done = {KEY: frozenset({made.versions[KEY][1].version_id})}
    assert released(made, admitted(made, 0, released=done), 100) == [made.versions[KEY][2].version_id]


@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_more_than_one_entry_may_hold_is_released_night_by_night(most: int) -> None:
    made = FakeStore()
    keys = [f"index/{digit * 64}" for digit in "0123"]
    for key in keys:
        for at, body in ((0, b"good"), (9, b"bad!"), (10, b"good")):
            made.now = WHEN + at * DAY
            made.put(key, body)
    records = {key: Record(State.ADMITTED, made.versions[key][0].version_id, 4, WHEN, WHEN) for key in keys}
    fold = Fold(records=RecordsInMemory(records), commits=(WHEN + DAY, WHEN + 11 * DAY))
    histories, terms = made.histories().values(), Terms(WHEN + 100 * DAY)
    everything = plan_release(histories, fold, terms)
    assert sum(map(len, everything.values())) == 8
    nights: list[int] = []
    while night := plan_release(histories, fold, terms, most):
        nights.append(sum(map(len, night.values())))
        done = {key: fold.released.get(key, frozenset()) | frozenset(versions) for key, versions in night.items()}
        fold = replace(fold, released={**fold.released, **done})
    assert {key: frozenset(versions) for key, versions in everything.items()} == fold.released
    assert nights[:-1] == [most] * (len(nights) - 1)


def test_what_no_commit_has_told_of_is_kept_and_what_the_ledger_does_not_know() -> None:
    made = store(*HEALED)
    fold = admitted(made, 0)
    assert released(made, replace(fold, commits=(WHEN + DAY,)), 1000) == []
    assert released(made, Fold(commits=fold.commits), 1000) == []


@pytest.mark.parametrize(
    ("state", "reason", "day", "count"),
    [
        (State.DOOMED, "pruned", 29, 0),
        (State.DOOMED, "pruned", 30, 2),
        (State.DOOMED, ADOPTED, 1000, 0),
        (State.DOOMED, f"{ADOPTED}, accepted", 30, 2),
        (State.EVICTED, "it is no index", 1000, 0),
        (State.EVICTED, "rejected by ann", 30, 2),
        (State.INCOMPLETE, "", 1000, 0),
    ],
)
def test_what_was_marked_waits_too_and_evidence_for_ever(state: State, reason: str, day: float, count: int) -> None:
    made = store((0, "good"), (0, "bad!"), (1, "mark"))
    fold = Fold(records=RecordsInMemory({KEY: Record(state, "", 4, WHEN, WHEN, reason)}), commits=(WHEN, WHEN + DAY))
    assert len(released(made, fold, day)) == count


def test_what_is_doomed_and_not_marked_stays() -> None:
    made = store((0, "good"))
    assert released(made, Fold(records=RecordsInMemory({KEY: Record(State.DOOMED, "", 4, WHEN, WHEN, "pruned")})), 1000) == []


def test_packs_stay_while_a_snapshot_may_need_them() -> None:
    made = FakeStore()
    made.put(PACK, b"good")
    made.mark(PACK)
    doomed = {PACK: Record(State.DOOMED, "", 4, WHEN, WHEN, "pruned")}
    waiting = {"snapshots/x": Record(State.INCOMPLETE, "v", 1, WHEN + 100 * DAY, WHEN)}
    assert len(released(made, Fold(records=RecordsInMemory(doomed)), 101)) == 1
    assert released(made, Fold(records=RecordsInMemory(doomed | waiting)), 101) == []


def test_the_earliest_loss_is_of_what_was_not_released() -> None:
    made = store(*HEALED)
    histories = [KeyHistory(key, tuple(versions)) for key, versions in made.versions.items()]
    first = made.versions[KEY][2].version_id
    assert earliest_loss(histories, {}, 30, now=WHEN) == (KEY, WHEN + 39 * DAY)
    assert earliest_loss(histories, {KEY: frozenset({first})}, 30, now=WHEN) == (KEY, WHEN + 40 * DAY)
    assert earliest_loss(histories, {}, 30, now=WHEN + 40 * DAY) is None
