"""The ledger's chain holds only what was written in order, and what it adds up to follows the legal transitions."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.entries import GENESIS, Entry, Judgement, accept_subjects, decode_entry, digest
from maintainer.core.errors import LedgerError
from maintainer.core.findings import MANY, MANY_OF, Finding, Found, Kind, Reported, Standing, abridged
from maintainer.core.ledger import fold
from maintainer.core.moments import to_text
from maintainer.core.records import ADOPTED, LEGAL, Extent, Record, State
from tests.support.fakestore import WHEN

KEY = "snapshots/" + "a" * 64
GROUP = ("web1", ("/srv",))


def record(state: State, **more: object) -> Record:
    return replace(Record(state, "v1", 10, WHEN, WHEN), **more)  # type: ignore[arg-type]


def chain(*entries: Entry) -> list[bytes]:
    """Number and link entries as runs do."""
    bodies: list[bytes] = []
    for number, entry in enumerate(entries):
        bodies.append(replace(entry, sequence=number, previous=digest(bodies[-1]) if bodies else GENESIS).encode())
    return bodies


def judged(*judgements: tuple[str, tuple[str, ...]]) -> list[bytes]:
    bodies: list[bytes] = []
    for number, (action, subjects) in enumerate(judgements):
        bodies.append(Judgement(number, digest(bodies[-1]) if bodies else GENESIS, to_text(WHEN), "ann", action, subjects).encode())
    return bodies


def entry(kind: str = "commit", run: str = "r", **more: object) -> Entry:
    return replace(Entry(0, GENESIS, kind, run, to_text(WHEN), "web"), **more)  # type: ignore[arg-type]


def test_an_entry_reads_back_as_it_was_written() -> None:
    reported = Reported(Finding(Kind.OVERWRITTEN, "config", "x\n\x1b", "v2"), to_text(WHEN), Standing.NEW, b"12345678")
    full = entry(
        changes={
            KEY: record(State.DOOMED, indexes=("1", "2"), ours=True, digest="d", reason="r", suspect="s", extent=Extent(5, 4, 3, "x", "y"))
        },
        observed=(GROUP,),
        findings=(reported,),
        checked={"packs": 3},
    )
    assert decode_entry(full.encode()) == full
    for one in (full, entry(), replace(full, changes={**full.changes, 'config"ä': record(State.EVICTED)})):
        body = one.encode()
        assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode() == body
        assert decode_entry(body) == one
        for other in (body + b" ", body[:-1], body.replace(b'"size":10', b'"size": 10'), body.replace(b'"ours":true', b'"ours":false')):
            if other != body:
                with pytest.raises(LedgerError):
                    decode_entry(other)


def test_an_empty_chain_is_a_first_contact_and_a_commit_ends_it() -> None:
    assert fold([], []).is_first_contact
    assert fold(chain(entry("first")), []).is_first_contact
    assert not fold(chain(entry("first"), entry()), []).is_first_contact


@pytest.mark.parametrize("tamper", ["alter", "drop", "swap", "reformat"])
def test_a_chain_that_was_tampered_with_is_refused(tamper: str) -> None:
    bodies = chain(entry("first"), entry(run="1"), entry(run="2"))
    match tamper:
        case "alter":
            bodies[1] = bodies[1].replace(b'"run_id":"1"', b'"run_id":"9"')
        case "drop":
            del bodies[1]
        case "swap":
            bodies[1], bodies[2] = bodies[2], bodies[1]
        case _:
            bodies[2] = bodies[2].replace(b'":"', b'": "', 1)
    with pytest.raises(LedgerError):
        fold(bodies, [])


STATES = st.lists(st.sampled_from(State), min_size=1, max_size=6)


@given(STATES)
def test_only_legal_transitions_fold(states: list[State]) -> None:
    bodies = chain(*(entry(changes={KEY: record(state)}) for state in states))
    legal = all(after in LEGAL[before] for before, after in zip([None, *states], states, strict=False))
    if legal:
        assert fold(bodies, []).records[KEY].state is states[-1]
    else:
        with pytest.raises(LedgerError, match="which was"):
            fold(bodies, [])


def test_a_person_takes_back_what_no_run_may() -> None:
    pack = "data/aa/" + "a" * 64
    bodies = chain(entry(changes={pack: record(State.EVICTED)}), entry(judgements=1, changes={pack: record(State.ADMITTED, version="v2")}))
    assert fold(bodies[:1], judged(("undelete", (pack,)))).records[pack].state is State.ADMITTED
    assert fold(bodies, judged(("undelete", (pack,)))).records[pack].version == "v2"
    with pytest.raises(LedgerError):
        fold(chain(entry(changes={pack: record(State.EVICTED)}), entry(changes={pack: record(State.ADMITTED)})), [])


def test_a_snapshot_that_a_person_takes_back_must_be_proved_and_never_counts() -> None:
    folded = fold(chain(entry(changes={KEY: record(State.DOOMED)})), judged(("undelete", (KEY,))))
    assert (folded.records[KEY].state, folded.records[KEY].suspect) == (State.INCOMPLETE, "undeleted by ann")
    assert folded.pending_undeletes == {KEY}


def test_accept_confirms_what_the_person_saw_and_decides_what_was_adopted() -> None:
    seen = chain(entry(observed=(GROUP,), changes={KEY: record(State.DOOMED, reason=ADOPTED)}))
    later = chain(entry(observed=(GROUP,), changes={KEY: record(State.DOOMED, reason=ADOPTED)}), entry(observed=(GROUP, ("evil", ("/x",)))))
    assert fold(seen, []).expected == frozenset()
    judgement = judged(("accept", accept_subjects(fold(seen, []).observed)))
    for bodies in (seen, later):
        accepted = fold(bodies, judgement)
        assert accepted.accepted
        assert accepted.expected == {GROUP}
        assert accepted.records[KEY].reason == "adopted, accepted"


def test_a_config_or_a_key_is_accepted_by_name_and_confirms_nothing_else() -> None:
    accepted = fold(chain(entry(observed=(GROUP,))), judged(("accept", ("config@v7", "keys/abc"))))
    assert (accepted.accepted_config, accepted.accepted) == ("v7", False)
    assert accepted.accepted_keys == {"keys/abc"}
    assert not accepted.expected


def test_a_key_that_a_person_retired_may_go_and_is_accepted_no_more() -> None:
    bodies = chain(entry(changes={"keys/abc": record(State.ADMITTED)}))
    retired = fold(bodies, judged(("accept", ("keys/abc",)), ("retire", ("keys/abc", "keys/unknown"))))
    assert (retired.records["keys/abc"].state, retired.records["keys/abc"].reason) == (State.DOOMED, "retired by ann")
    assert not retired.accepted_keys
    again = fold(bodies, judged(("retire", ("keys/abc",)), ("undelete", ("keys/abc",))))
    assert again.records["keys/abc"].state is State.ADMITTED


def test_a_judgement_of_a_newer_release_stops_the_run() -> None:
    for judgement in (("accept", ("moon",)), ("banish", ())):
        with pytest.raises(LedgerError, match="does not know"):
            fold([], judged(judgement))


def test_a_judgement_that_was_altered_breaks_its_chain() -> None:
    bodies = judged(("accept", ("repository",)), ("ack", ("x",)))
    with pytest.raises(LedgerError, match="judgement"):
        fold([], [bodies[0].replace(b"ann", b"eve"), bodies[1]])


def test_findings_are_new_once_open_after_gone_when_gone_and_new_again_on_newer_evidence() -> None:
    first, later = Finding(Kind.GARBAGE, "x", evidence="v1"), Finding(Kind.GARBAGE, "x", evidence="v2")
    night1 = Found({}, [first]).settled(frozenset(), now="1")
    night2 = Found(night1, [first]).settled(frozenset(), now="2")
    night3 = Found(night2, [later]).settled(frozenset({first.identity}), now="3")
    night4 = Found(night3, [later]).settled(frozenset({first.identity}), now="4")
    night5 = Found(night4, []).settled(frozenset(), now="5")
    standing = [night[first.identity].standing for night in (night1, night2, night3, night4, night5)]
    assert standing == [Standing.NEW, Standing.OPEN, Standing.NEW, Standing.ACKNOWLEDGED, Standing.GONE]
    assert Found(night5, []).settled(frozenset(), now="6") == {}


def many(*numbers: int, evidence: str = "v1") -> list[Finding]:
    return [Finding(Kind.HIDDEN, f"k{number:03}", evidence=evidence) for number in numbers]


def nights(*found: list[Finding], acknowledged: frozenset[str] = frozenset()) -> list[dict[str, tuple[str, str]]]:
    """Return what each night tells, by subject: its standing and its detail. Each goes through an entry of a ledger."""
    told: list[dict[str, tuple[str, str]]] = []
    bodies: list[bytes] = []
    for night in found:
        before = fold(bodies, [])
        settled = Found(before.findings, night).settled(acknowledged, now=str(len(bodies)))
        told.append({one.finding.subject: (one.standing.value, one.finding.detail) for one in settled.values()})
        bodies = chain(*map(decode_entry, bodies), entry(kind="commit", findings=abridged(settled.values(), before.findings)))
    return told


def test_more_than_a_hundred_of_a_kind_are_one_finding() -> None:
    (night,) = nights(many(*range(250)))
    assert night == {MANY: ("new", "250, for example k000")}


def test_a_bundle_is_news_when_anything_in_it_is_and_says_what() -> None:
    old = many(*range(150))
    told = nights(old, old, [*old[1:], *many(900)], [*old[1:], *many(900, evidence="v2")], old[1:], many(7), many(7, 8), [], many(7))
    assert told == [
        {MANY: ("new", "150, for example k000")},
        {MANY: ("open", "150, for example k000")},
        {MANY: ("new", "1 new of 150, for example k900")},
        {MANY: ("new", "1 new of 150, for example k900")},
        {MANY: ("open", "149, for example k001")},
        {MANY: ("open", "1, for example k007")},
        {MANY: ("new", "1 new of 2, for example k008")},
        {MANY: ("gone", "1 new of 2, for example k008")},
        {"k007": ("new", "")},
    ]


def test_what_was_told_one_by_one_is_no_news_in_a_bundle_and_not_gone() -> None:
    told = nights(many(*range(90)), many(*range(101)), many(*range(101)))
    assert told[1:] == [{MANY: ("new", "11 new of 101, for example k090")}, {MANY: ("open", "101, for example k000")}]
    acknowledged = nights(many(*range(101)), many(*range(101)), acknowledged=frozenset({f"hidden:{MANY}"}))
    assert acknowledged[1][MANY][0] == "acknowledged"


def suspects(reason: str, *numbers: int) -> list[Finding]:
    return [Finding(Kind.SUSPECT, f"snapshots/{number:03}", reason.format(number)) for number in numbers]


def test_many_suspects_are_a_bundle_for_each_class_of_reasons_in_words() -> None:
    crowded, shrunk = "one of {} within a day, where 8 would be usual at most", "holds {} B, where 1 GiB are usual: it has shrunk"
    few, many_ = [*suspects(shrunk, 1)], suspects(crowded, *range(200, 350))
    told = nights([*few, *many_], [*few, *many_], few)
    assert told[0] == {
        "snapshots/001": ("new", "holds 1 B, where 1 GiB are usual: it has shrunk"),
        f"crowded{MANY_OF}": (
            "new",
            "150, for example snapshots/200: one of 200 within a day, where 8 would be usual at most",
        ),
    }
    assert {standing for standing, _ in told[1].values()} == {"open"}
    assert told[2][f"crowded{MANY_OF}"][0] == "gone"


def test_a_bundle_of_all_suspects_as_an_earlier_release_wrote_it_is_no_news_in_its_classes() -> None:
    found = [*suspects("one of {} within a day", *range(120)), *suspects("it was rewritten {}", 900)]
    (bundle,) = Found({}, [replace(one, kind=Kind.HIDDEN) for one in found]).settled(frozenset(), now="0").values()
    members = sorted(hashlib.sha256(f"{one.identity}\0{one.evidence}".encode()).digest()[:8] for one in found)
    known = replace(bundle, finding=replace(bundle.finding, kind=Kind.SUSPECT), members=b"".join(members))
    settled = Found({known.finding.identity: known}, found).settled(frozenset(), now="1")
    standing = {one.finding.subject: one.standing for one in settled.values()}
    assert standing == {MANY: Standing.GONE, f"crowded{MANY_OF}": Standing.OPEN, "snapshots/900": Standing.OPEN}


def test_who_is_in_a_bundle_is_written_once() -> None:
    settled = Found({}, many(*range(100_000))).settled(frozenset(), now="0")
    first = chain(entry(kind="commit", findings=abridged(settled.values(), {})))
    again = Found(fold(first, []).findings, many(*range(100_000))).settled(frozenset(), now="1")
    both = chain(*map(decode_entry, first), entry(kind="commit", findings=abridged(again.values(), fold(first, []).findings)))
    assert len(both[0]) < 1_100_000
    assert len(both[1]) < 1_000
    assert fold(both, []).findings[f"hidden:{MANY}"].members == fold(first, []).findings[f"hidden:{MANY}"].members


@given(st.integers(0, 10**9))
def test_moments_sort_as_their_texts(seconds: int) -> None:
    assert (to_text(WHEN) < to_text(WHEN + timedelta(seconds=seconds))) is (seconds > 0)


@pytest.mark.parametrize(
    ("state", "after"), [(State.ADMITTED, State.DOOMED), (State.INCOMPLETE, State.EVICTED), (State.DOOMED, State.DOOMED), (None, None)]
)
def test_what_a_person_rejects_goes_and_is_endorsed_no_more(state: State | None, after: State | None) -> None:
    entries = chain(entry("first"), entry(changes={KEY: record(state)} if state else {}))
    told = fold(entries, judged(("endorse", (KEY,)), ("reject", (KEY,))))
    assert told.endorsed == frozenset()
    found = told.records.get(KEY)
    assert (found.state if found else None) is after
    assert found is None or state is State.DOOMED or found.reason == "rejected by ann"


def test_what_a_person_endorses_stays_endorsed() -> None:
    entries = chain(entry("first"), entry(changes={KEY: record(State.ADMITTED)}), entry(judgements=1))
    assert fold(entries, judged(("endorse", (KEY,)))).endorsed == {KEY}


def unpadded(body: bytes) -> bytes:
    """Write years below 1000 as version 0.1 did."""
    return re.sub(rb'("(?:first_seen|since)":")0+', rb"\1", body)


@pytest.mark.parametrize("year", [1, 10, 999])
def test_an_entry_with_years_that_were_written_without_zeros_is_read(year: int) -> None:
    early = record(State.ADMITTED, first_seen=WHEN.replace(year=year))
    (body,) = chain(entry("first", changes={KEY: early}))
    old = unpadded(body)
    assert old != body
    folded = fold([old], [])
    assert folded.records[KEY] == early
    assert folded.head == (1, digest(old))


@given(st.text(), st.text(), st.sampled_from(['"first_seen":"1-01-01T00:00:00Z', '\\"since\\":\\"1-', "1-01-01T00:00:00Z"]))
def test_no_text_that_a_host_chooses_is_taken_for_such_a_year(host: str, path: str, looks_like: str) -> None:
    told = entry(observed=((host + looks_like, (looks_like + path,)),), changes={KEY: record(State.EVICTED, reason=looks_like + host)})
    assert decode_entry(told.encode()) == told
