"""Which version of a key is the true one, and what is done about it: case by case, and for any history at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintainer.core.findings import Finding
from maintainer.core.ledger import Fold
from maintainer.core.records import ADOPTED, Record, RecordsInMemory, State
from maintainer.core.repofiles import MAXIMA, parse_key
from maintainer.core.revert import Into, RevertPlan, Terms, plan_revert
from maintainer.core.versions import ObjectVersion
from tests.support.fakestore import WHEN, FakeStore

GOOD = b"what restic wrote"
ID = hashlib.sha256(GOOD).hexdigest()
PACK, SNAPSHOT, INDEX, LOCK, KEY = f"data/{ID[:2]}/{ID}", f"snapshots/{ID}", f"index/{ID}", f"locks/{ID}", f"keys/{ID}"
AFTER = Fold(last_commit="2025-12-01T00:00:00.000000Z", met=WHEN - timedelta(days=90))
TERMS = Terms(now=WHEN + timedelta(days=1))


def bucket(key: str, shape: str) -> FakeStore:
    """Build a history, oldest first: G good, B bad of the same size, S bad of another, L too large, E good with a foreign header, A archived, x marker."""
    store = FakeStore()
    for letter in shape:
        match letter:
            case "G":
                store.put(key, GOOD)
            case "B":
                store.put(key, GOOD[::-1])
            case "S":
                store.put(key, b"short")
            case "L":
                version = store.put(key, b"never read")
                store.versions[key][0] = replace(version, size=MAXIMA[parse_key(key).type] + 1)  # type: ignore[union-attr]
            case "E":
                store.put(key, GOOD, header="Content-Encoding: gzip")
            case "A":
                store.put(key, GOOD, unreadable="archived")
            case "x":
                store.mark(key)
    return store


def record(store: FakeStore, key: str, state: State, *, days_ago: float = 0, **more: object) -> Fold:
    pinned = next((v for v in reversed(store.versions[key]) if not v.is_marker and store.contents[v.version_id] == GOOD), None)
    made = Record(state, pinned.version_id if pinned else "", len(GOOD), WHEN, TERMS.now - timedelta(days=days_ago))
    return replace(AFTER, records=RecordsInMemory({key: replace(made, **more)}))  # type: ignore[arg-type]


def plan_of(store: FakeStore, fold: Fold = AFTER, terms: Terms = TERMS, find: Callable[[Finding], None] = lambda _: None) -> RevertPlan:
    return plan_revert(store.histories(), fold, store.look, terms, Into(find))


def did(store: FakeStore, fold: Fold = AFTER, terms: Terms = TERMS) -> str:
    """Say what a plan for one key comes to."""
    found: list[Finding] = []
    plan = plan_of(store, fold, terms, found.append)
    words = [*("heal" for _ in plan.heal), *("mark" for _ in plan.mark), *("evict" for _ in plan.evict)]
    words += [finding.kind.value for finding in found] + ["hidden"] * len(plan.hidden) + ["damaged"] * len(plan.damaged)
    return " ".join(words)


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        (PACK, "G", ""),
        (PACK, "GB", "heal overwritten"),
        (PACK, "G" + "B" * 50, "heal overwritten"),
        (PACK, "BG", "overwritten"),
        (PACK, "GBG", "overwritten"),
        (PACK, "GxG", "hidden"),
        (PACK, "GEG", "not-plain"),
        (PACK, "GGG", ""),
        (PACK, "BGB", "heal overwritten"),
        (PACK, "GA", "heal overwritten"),
        (PACK, "Gx", "heal hidden"),
        (PACK, "GBx", "heal hidden"),
        (PACK, "GE", "heal not-plain"),
        (PACK, "E", "heal not-plain"),
        (PACK, "BB", "evict garbage"),
        (PACK, "L", "evict garbage"),
        (PACK, "LBL", "evict garbage"),
        (PACK, "GL", "heal overwritten"),
        (PACK, "LG", "overwritten"),
        (PACK, "Lx", ""),
        (PACK, "A", "unreadable"),
        (PACK, "BA", "unreadable"),
        (PACK, "x", ""),
        (PACK, "Bx", ""),
        (SNAPSHOT, "B", "evict garbage"),
        (SNAPSHOT, "GB", "heal overwritten"),
        (INDEX, "GLL", "heal overwritten"),
        (KEY, "L", "evict garbage"),
        (LOCK, "Gx", ""),
        (LOCK, "B", ""),
        ("notes.txt", "G", "foreign-name"),
        ("maintainer/abc", "G", ""),
    ],
)
def test_a_key_that_the_ledger_does_not_know(key: str, shape: str, expected: str) -> None:
    store = bucket(key, shape)
    assert did(store) == expected
    too_large = {version.version_id for version in store.versions[key] if version.size > len(GOOD)}
    assert not too_large & set(store.looked), "a host may put terabytes under one name"


@pytest.mark.parametrize("shape", ["BB", "L", "LBL"])
def test_a_pack_of_which_nothing_is_true_may_be_damage_if_it_was_there_before_us(shape: str) -> None:
    store = bucket(PACK, shape)
    first = min(version.last_modified for version in store.versions[PACK])
    assert did(store, replace(AFTER, met=first)) == "damaged"
    assert did(store, replace(AFTER, met=first - timedelta(seconds=1))) == "evict garbage"
    assert did(bucket(SNAPSHOT, shape), replace(AFTER, met=WHEN)) == "evict garbage"


@pytest.mark.parametrize(
    ("state", "key", "shape", "days_ago", "expected"),
    [
        (State.ADMITTED, PACK, "G", 0, ""),
        (State.ADMITTED, PACK, "GB", 0, "heal overwritten"),
        (State.ADMITTED, PACK, "GS", 0, "heal overwritten"),
        (State.ADMITTED, PACK, "Gx", 0, "heal hidden"),
        (State.ADMITTED, PACK, "B", 0, "lost"),
        (State.ADMITTED, PACK, "A", 0, ""),
        (State.INCOMPLETE, SNAPSHOT, "GB", 0, "heal overwritten"),
        (State.DOOMED, SNAPSHOT, "G", 0, "mark"),
        (State.DOOMED, SNAPSHOT, "Gx", 0, ""),
        (State.DOOMED, SNAPSHOT, "GxG", 0, "mark replayed"),
        (State.DOOMED, SNAPSHOT, "GxB", 0, "mark replayed"),
        (State.DOOMED, PACK, "G", 1, ""),
        (State.DOOMED, PACK, "Gx", 1, "heal hidden"),
        (State.DOOMED, PACK, "GB", 1, "heal overwritten"),
        (State.DOOMED, PACK, "G", 8, "mark"),
        (State.DOOMED, PACK, "Gx", 8, ""),
        (State.DOOMED, INDEX, "G", 0, ""),
        (State.EVICTED, SNAPSHOT, "G", 0, "mark"),
        (State.EVICTED, PACK, "G", 0, "mark"),
        (State.EVICTED, PACK, "Bx", 0, ""),
    ],
)
def test_a_key_that_the_ledger_knows(state: State, key: str, shape: str, days_ago: float, expected: str) -> None:
    store = bucket(key, shape)
    assert did(store, record(store, key, state, days_ago=days_ago)) == expected


@pytest.mark.parametrize(("shape", "pinned", "expected"), [("GxG", 2, "mark"), ("GxG", 0, "mark replayed"), ("GxGxG", 2, "mark replayed")])
def test_what_a_run_of_ours_brought_back_itself_and_pinned_is_no_replay(shape: str, pinned: int, expected: str) -> None:
    """A pack that was marked, taken back for a backup, and doomed again: nobody put it there but us."""
    store = bucket(PACK, shape)
    fold = record(store, PACK, State.DOOMED, days_ago=8)
    fold.records[PACK] = replace(fold.records[PACK], version=store.versions[PACK][len(shape) - 1 - pinned].version_id)
    assert did(store, fold) == expected


def test_a_young_index_of_a_host_stays_for_grace_and_one_of_ours_goes_at_once() -> None:
    store = bucket(INDEX, "G")
    assert did(store, record(store, INDEX, State.DOOMED, ours=True)) == "mark"
    later = replace(TERMS, now=WHEN + timedelta(days=7))
    assert did(store, record(store, INDEX, State.DOOMED), later) == "mark"


def test_a_pack_waits_for_grace_after_the_first_marker_on_each_index_that_names_it() -> None:
    store = bucket(PACK, "G")
    index = hashlib.sha256(b"an index").hexdigest()
    store.put(f"index/{index}", b"an index")
    fold = record(store, PACK, State.DOOMED, indexes=(index,))
    doomed = Record(State.DOOMED, "", 8, WHEN, TERMS.now, ours=True)
    fold = replace(fold, records=RecordsInMemory({**fold.records, f"index/{index}": doomed}))
    store.now = TERMS.now
    store.mark(f"index/{index}")
    at = {days: did(store, fold, replace(TERMS, now=TERMS.now + timedelta(days=days))) for days in (6.9, 7)}
    assert at == {6.9: "", 7: "mark"}


def test_no_pack_is_marked_while_a_snapshot_is_incomplete() -> None:
    store = bucket(PACK, "G")
    fold = record(store, PACK, State.DOOMED, days_ago=8)
    waiting = Record(State.INCOMPLETE, "v", 1, TERMS.now, TERMS.now)
    assert did(store, replace(fold, records=RecordsInMemory({**fold.records, "snapshots/" + "0" * 64: waiting}))) == ""


def test_what_was_hidden_before_first_contact_is_not_healed_but_told() -> None:
    assert did(bucket(PACK, "Gx"), Fold()) == "hidden"


def test_markers_of_what_was_adopted_are_legitimate_at_once() -> None:
    store = bucket(PACK, "Gx")
    assert did(store, record(store, PACK, State.DOOMED, reason=ADOPTED)) == ""


def test_with_an_emptied_ledger_no_marker_is_touched_and_content_is_healed() -> None:
    terms = replace(TERMS, may_mark=False)
    assert did(bucket(PACK, "Gx"), AFTER, terms) == "hidden"
    assert did(bucket(PACK, "GB"), AFTER, terms) == "heal overwritten"


def test_config_is_held_to_its_pinned_digest() -> None:
    store = bucket("config", "GB")
    assert did(store, record(store, "config", State.ADMITTED, digest=ID)) == "heal overwritten"


@pytest.mark.parametrize("junk", [10, 100_000])
def test_junk_over_a_true_pack_costs_two_hashes_however_much_there_is(junk: int) -> None:
    store = bucket(PACK, "G" + "B" * junk)
    assert did(store) == "heal overwritten"
    assert len(store.looked) == 2


def test_a_key_that_never_was_true_costs_a_bounded_number_of_hashes() -> None:
    store = bucket(PACK, "B" * 1000)
    assert did(store) == "undecided"
    assert len(store.looked) <= TERMS.looks_per_key + 2


def test_first_seen_is_the_oldest_true_version_even_after_identical_puts() -> None:
    store = bucket(SNAPSHOT, "G")
    store.pass_time(days=3)
    store.put(SNAPSHOT, GOOD)
    assert plan_of(store).standing[SNAPSHOT].first_seen == WHEN


def apply(store: FakeStore, plan: RevertPlan) -> dict[str, ObjectVersion]:
    """Carry a plan out; return the healed versions by key."""
    healed = {heal.source.key: store.heal(heal.source, ID) for heal in plan.heal.values()}
    for mark in plan.mark.values():
        store.mark(mark.over.key)
    return healed


KEYS = st.sampled_from([PACK, SNAPSHOT, INDEX, KEY, LOCK, "config", "notes.txt"])
SHAPES = st.text(alphabet="GBSEAx", min_size=1, max_size=8)
STATES = st.sampled_from([None, *State])


@settings(max_examples=300)
@given(SHAPES, KEYS, STATES, st.floats(0, 20), st.booleans())
def test_a_plan_applied_twice_is_empty_the_second_time(shape: str, key: str, state: State | None, days_ago: float, first: bool) -> None:
    store = bucket(key, shape)
    fold = record(store, key, state, days_ago=days_ago, digest=ID) if state else AFTER
    fold = replace(fold, last_commit="" if first else fold.last_commit)
    plan = plan_of(store, fold)
    before = {v.version_id for v in store.survey()}
    healed = apply(store, plan)
    assert before <= {v.version_id for v in store.survey()}
    for healed_key, version in healed.items():
        expected = ID if healed_key == "config" else healed_key[-64:]
        assert store.look(version).digest == expected
        assert store.versions[healed_key][0] is version
    if plan.evict:
        evicted = Record(State.EVICTED, "", 0, WHEN, TERMS.now)
        fold = replace(fold, records=RecordsInMemory({**fold.records, **dict.fromkeys(plan.evict, evicted)}))
        apply(store, plan_of(store, fold))
    assert plan_of(store, fold).is_empty


@settings(max_examples=200)
@given(SHAPES, st.sampled_from([PACK, SNAPSHOT, INDEX]))
def test_whatever_lies_over_a_readable_true_version_it_is_current_after_revert(shape: str, key: str) -> None:
    store = bucket(key, shape)
    plan = plan_of(store)
    apply(store, plan)
    if "G" in shape or "E" in shape:
        look = store.look(store.versions[key][0])
        assert look.digest == ID
        assert look.plain


HELD_DAYS = (TERMS.grace + TERMS.probation) / timedelta(days=1)


@pytest.mark.parametrize(
    ("days_ago", "first_seen_days_ago", "is_marked"),
    [
        (8, 1, False),
        (HELD_DAYS - 1, 1, False),
        (HELD_DAYS, 1, True),  # a fresh one each night holds no pack for ever
        (8, 15, True),
    ],
)
def test_an_incomplete_snapshot_holds_a_pack_for_grace_and_probation_at_most(
    days_ago: float, first_seen_days_ago: float, is_marked: bool
) -> None:
    store = bucket(PACK, "G")
    fold = record(store, PACK, State.DOOMED, days_ago=days_ago)
    seen = TERMS.now - timedelta(days=first_seen_days_ago)
    fold.records[SNAPSHOT] = Record(State.INCOMPLETE, "v", 1, seen, seen)
    assert did(store, replace(fold, met=WHEN - timedelta(days=100))) == ("mark" if is_marked else "")


def test_one_that_was_there_before_the_first_commit_holds_all_until_a_person_decides() -> None:
    store = bucket(PACK, "G")
    fold = record(store, PACK, State.DOOMED, days_ago=1000)
    fold.records[SNAPSHOT] = Record(State.INCOMPLETE, "v", 1, WHEN, WHEN)
    assert did(store, replace(fold, met=WHEN)) == ""
    fold.records[SNAPSHOT] = replace(fold.records[SNAPSHOT], state=State.EVICTED)
    assert did(store, replace(fold, met=WHEN)) == "mark"


@pytest.mark.parametrize(("doomed", "again", "expected"), [(8, 6, ""), (8, 7, "mark"), (6, None, ""), (7, None, "mark")])
def test_an_index_that_names_a_doomed_pack_again_gives_it_one_more_grace(doomed: float, again: float | None, expected: str) -> None:
    store = bucket(PACK, "G")
    moment = None if again is None else TERMS.now - timedelta(days=again)
    assert did(store, record(store, PACK, State.DOOMED, days_ago=doomed, again=moment)) == expected


def test_what_a_person_let_go_of_while_it_was_undecided_is_evicted_and_what_came_since_is_not() -> None:
    store = bucket(PACK, "B" * 200)
    newest = store.versions[PACK][0].last_modified
    assert did(store) == "undecided"
    for rejected, expected in ((newest, "evict"), (newest - timedelta(seconds=1), "undecided")):
        assert did(store, replace(AFTER, let_go={"undecided": rejected})) == expected
    admitted = record(store, PACK, State.ADMITTED)
    assert did(store, replace(admitted, let_go={"undecided": newest})) == "undecided", "what was admitted is not let go of so"
