"""What is too much for an entry lies in segments, and the chain holds or breaks with them as with its own bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintainer.core import ledger, segments
from maintainer.core.entries import GENESIS, Entry, Judgement, Segment, decode_entry, digest
from maintainer.core.errors import LedgerError
from maintainer.core.ledger import Ledger, ReadSegments, fold
from maintainer.core.moments import to_text
from maintainer.core.records import LEGAL, Record, RecordsInMemory, State, Text, state_in, write_record
from tests.support.fakestore import WHEN

MANY = RecordsInMemory({f"data/{n % 7}/{n:05d}": Record(State.ADMITTED, f"v{n}", n, WHEN, WHEN) for n in range(450)})


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many segments as a repository of 45,000 packs has, of a hundredth of their length."""
    monkeypatch.setattr(segments, "MOST", segments.MOST // 100)
    monkeypatch.setattr(ledger, "LEAST_FOR_BASE", ledger.LEAST_FOR_BASE // 100)


def kept(texts: Iterable[Text], store: dict[str, bytes]) -> tuple[Segment, ...]:
    """Put segments as a run does."""
    return put(segments.cut(texts), store)


def put(texts: Iterable[tuple[int, bytes]], store: dict[str, bytes]) -> tuple[Segment, ...]:
    cut = [(Segment(digest(text), records), text) for records, text in texts]
    store.update({segment.name: text for segment, text in cut})
    return tuple(segment for segment, _ in cut)


def from_(store: dict[str, bytes]) -> ReadSegments:
    return lambda names: (store[name] for name in names)


def written(changes: RecordsInMemory) -> tuple[Entry, dict[str, bytes]]:
    store: dict[str, bytes] = {}
    return Entry(0, GENESIS, "first", "r", to_text(WHEN), "web", segments=kept(changes.texts(), store)), store


def test_many_records_come_back_from_their_segments() -> None:
    entry, texts = written(MANY)
    assert len(texts) == 9
    assert decode_entry(entry.encode()) == entry
    assert fold([entry.encode()], [], from_(texts)).records == MANY
    keys = [key for one in entry.segments for key, _ in segments.read(one, texts[one.name])]
    assert keys == sorted(MANY)


def test_an_altered_segment_and_one_that_is_missing_break_the_chain() -> None:
    entry, texts = written(MANY)
    for name in texts:
        altered = {**texts, name: texts[name].replace(b"admitted", b"evicted", 1)}
        with pytest.raises(LedgerError, match=f"segment {name} was altered"):
            fold([entry.encode()], [], from_(altered))
    with pytest.raises(LedgerError, match="is missing"):
        fold([entry.encode()], [])


def test_a_change_in_a_segment_must_be_legal_too() -> None:
    entry, texts = written(MANY)
    ledger = Ledger(RecordsInMemory(), [entry.encode()], (), from_(texts))
    back = RecordsInMemory({key: replace(record, state=State.INCOMPLETE) for key, record in MANY.items()})
    _, more = written(back)
    second = replace(
        entry, sequence=1, previous=digest(entry.encode()), segments=tuple(Segment(name, text.count(b"\n")) for name, text in more.items())
    )
    with pytest.raises(LedgerError, match="makes data/0/00000 incomplete, which was admitted"):
        ledger.check(second, back)
    with pytest.raises(LedgerError, match="which was admitted"):
        fold([entry.encode(), second.encode()], [], from_({**texts, **more}))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("reason", ["", '","state":"evicted"', "\\", '{"state":"doomed"}', "x\t\n\u2028"])
def test_the_state_is_told_by_the_text_alone(state: State, reason: str) -> None:
    for record in (Record(state, "v", 1, WHEN, WHEN, reason), Record(state, reason, 1, WHEN, WHEN, digest=reason, ours=True)):
        text = write_record(record)
        assert state_in(text) is state
        assert not {"\n", "\t"} & set(text)


KEYS = [f"snapshots/{number}" for number in range(4)]
NIGHTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(KEYS), st.sampled_from(State), max_size=3),
        st.lists(st.tuples(st.sampled_from(["reject", "undelete", "endorse", "retire", "accept"]), st.sampled_from(KEYS)), max_size=2),
        st.booleans(),
        st.sets(st.sampled_from(KEYS)),
    ),
    max_size=8,
)


class Chain:
    """Entries and judgements as runs and people append them."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.judgements: list[bytes] = []
        self.store: dict[str, bytes] = {}
        self.last: tuple[str, ...] = ()

    def ledger(self, *, verify: bool) -> Ledger:
        return Ledger(RecordsInMemory(), self.entries, self.judgements, from_(self.store), verify=verify)

    def judge(self, action: str, key: str) -> None:
        previous = digest(self.judgements[-1]) if self.judgements else GENESIS
        subject = "repository" if action == "accept" else key
        self.judgements.append(Judgement(len(self.judgements), previous, to_text(WHEN), "ann", action, (subject,)).encode())

    def commit(self, wanted: dict[str, State], *, has_base: bool, gone: set[str]) -> None:
        """Append what is legal of it, and a base if it is wanted; what is `gone` has nothing left in the bucket."""
        known = self.ledger(verify=False).fold
        changes = RecordsInMemory()
        for key, state in wanted.items():
            if state in LEGAL[known.records.state_of(key)]:
                changes[key] = Record(state, f"v{len(self.entries)}", 1, WHEN, WHEN)
        base = kept(segments.base(known.records, changes, lambda key: key not in gone), self.store) if has_base else ()
        there = ((key, ids) for key, ids in known.released.items() if key not in gone)
        base_released = put(segments.cut_released(there), self.store) if has_base else ()
        (number, previous), at = known.head, to_text(WHEN)
        released = {key: tuple(f"r{number}.{one}" for one in range(3)) for key in changes}
        inline, named = (released, ()) if number % 2 else ({}, put(segments.cut_released(released.items()), self.store))
        entry = Entry(number, previous, "commit", "r", at, "web", dict(changes), judgements=len(self.judgements), base=base)
        entry = replace(entry, released=inline, released_in=named, base_released=base_released)
        self.entries.append(entry.encode())


@settings(max_examples=200)
@given(NIGHTS)
def test_a_base_says_what_the_entries_before_it_do_and_spares_reading_them(
    nights: list[tuple[dict[str, State], list[tuple[str, str]], bool, set[str]]],
) -> None:
    chain = Chain()
    for wanted, judgements, has_base, gone in nights:
        for judgement in judgements:
            chain.judge(*judgement)
        chain.commit(wanted, has_base=has_base, gone=gone)
    quick, whole = chain.ledger(verify=False).fold, chain.ledger(verify=True).fold
    assert replace(quick, released={}, releases=()) == replace(whole, released={}, releases=())
    assert all(ids <= whole.released[key] for key, ids in quick.released.items())
    assert whole.releases[len(whole.releases) - len(quick.releases) :] == quick.releases
    gone_since = {key for *_, is_based, gone in nights for key in gone if is_based}
    assert {key: ids for key, ids in whole.released.items() if key not in gone_since} == {
        key: ids for key, ids in quick.released.items() if key not in gone_since
    }
    bases = [number for number, body in enumerate(chain.entries) if decode_entry(body).base]
    entries = [decode_entry(body) for body in chain.entries]
    needed = {one.name for entry in entries[bases[-1] if bases else 0 :] for one in (*entry.base, *entry.base_released, *entry.released_in)}
    chain.store = {name: text for name, text in chain.store.items() if name in needed}
    assert chain.ledger(verify=False).fold == quick  # nothing before the last base was read


def test_what_is_let_go_and_gone_from_the_bucket_is_in_no_base_and_what_is_admitted_always() -> None:
    records = RecordsInMemory({f"data/{state.value}": Record(state, "v", 1, WHEN, WHEN) for state in State})
    changes = RecordsInMemory(
        {"data/admitted": Record(State.DOOMED, "v", 1, WHEN, WHEN), "data/new": Record(State.ADMITTED, "v", 1, WHEN, WHEN)}
    )
    assert [key for key, _ in segments.base(records, RecordsInMemory(), lambda _: False)] == ["data/admitted", "data/incomplete"]
    assert [key for key, _ in segments.base(records, changes, lambda _: False)] == ["data/incomplete", "data/new"]
    assert len(list(segments.base(records, changes, lambda _: True))) == 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda made: made.pop("data/0/00000"), "does not say of data/0/00000"),
        (lambda made: made.update({"data/0/00000": replace(MANY["data/0/00000"], version="forged")}), "does not say of data/0/00000"),
        (lambda made: made.update({"data/9": MANY["data/0/00000"]}), "has data/9, which no entry has"),
    ],
)
def test_verify_finds_a_base_that_says_something_else(change: Callable[[dict[str, Record]], object], told: str) -> None:
    entry, store = written(MANY)
    forged = RecordsInMemory(MANY)
    change(forged)
    second = replace(entry, sequence=1, previous=digest(entry.encode()), kind="commit", segments=(), base=kept(forged.texts(), store))
    with pytest.raises(LedgerError, match=told):
        Ledger(RecordsInMemory(), [entry.encode(), second.encode()], (), from_(store), verify=True)


def test_a_base_is_due_when_half_has_changed_since_the_last() -> None:
    entry, store = written(MANY)
    assert Ledger(RecordsInMemory(), [entry.encode()], (), from_(store)).is_base_due
    second = replace(entry, sequence=1, previous=digest(entry.encode()), kind="commit", segments=(), base=kept(MANY.texts(), store))
    based = Ledger(RecordsInMemory(), [entry.encode(), second.encode()], (), from_(store))
    assert not based.is_base_due
    assert based.fold.records == MANY


def test_a_segment_with_years_that_were_written_without_zeros_is_read() -> None:
    early = RecordsInMemory({key: replace(one, first_seen=WHEN.replace(year=7)) for key, one in MANY.items()})
    old = {key: text.replace('"0007-', '"7-') for key, text in early.texts()}
    store: dict[str, bytes] = {}
    entry = Entry(0, GENESIS, "first", "r", to_text(WHEN), "web", segments=kept(old.items(), store), base=kept(old.items(), store))
    assert b'"7-' in next(iter(store.values()))
    assert fold([entry.encode()], [], from_(store)).records == early


def test_verify_finds_a_base_that_says_of_more_that_it_was_released() -> None:
    entry, store = written(MANY)
    second = replace(entry, sequence=1, previous=digest(entry.encode()), kind="commit", segments=(), base=kept(MANY.texts(), store))
    second = replace(second, base_released=put(segments.cut_released([("data/0/00000", ["v0"])]), store))
    with pytest.raises(LedgerError, match="says of data/0/00000 that more was released"):
        Ledger(RecordsInMemory(), [entry.encode(), second.encode()], (), from_(store), verify=True)


def test_a_hundred_thousand_released_versions_of_one_key_are_in_lines_that_can_be_read() -> None:
    released = {"data/0/00000": [f"{number:032x}" for number in range(100_000)]}
    store: dict[str, bytes] = {}
    named = put(segments.cut_released(released.items()), store)
    assert max(map(len, store.values())) < 1 << 20
    entry, texts = written(MANY)
    entry = replace(entry, kind="commit", released_in=named)
    made = fold([entry.encode()], [], from_({**texts, **store}))
    assert made.released == {"data/0/00000": set(released["data/0/00000"])}
    altered = {name: text.replace(b"a", b"b", 1) for name, text in store.items()}
    with pytest.raises(LedgerError, match="was altered"):
        fold([entry.encode()], [], from_({**texts, **altered}))
