"""What is too much for an entry lies in segments, and the chain holds or breaks with them as with its own bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maintainer.core import segments
from maintainer.core.entries import GENESIS, Entry, decode_entry, digest
from maintainer.core.errors import LedgerError
from maintainer.core.ledger import Ledger, fold
from maintainer.core.moments import to_text
from maintainer.core.records import Record, RecordsInMemory, State, state_in, write_record
from tests.support.fakestore import WHEN

MANY = RecordsInMemory({f"data/{n % 7}/{n:05d}": Record(State.ADMITTED, f"v{n}", n, WHEN, WHEN) for n in range(45_000)})


def written(changes: RecordsInMemory) -> tuple[Entry, dict[str, bytes]]:
    texts = {digest(text): text for text in segments.cut(changes)}
    return Entry(0, GENESIS, "first", "r", to_text(WHEN), "web", segments=tuple(texts)), texts


def test_many_records_come_back_from_their_segments() -> None:
    entry, texts = written(MANY)
    assert len(texts) == 3
    assert decode_entry(entry.encode()) == entry
    assert fold([entry.encode()], [], texts.__getitem__).records == MANY
    keys = [key for name, text in texts.items() for key, _ in segments.read(name, text)]
    assert keys == sorted(MANY)


def test_an_altered_segment_and_one_that_is_missing_break_the_chain() -> None:
    entry, texts = written(MANY)
    for name in texts:
        altered = {**texts, name: texts[name].replace(b"admitted", b"evicted", 1)}
        with pytest.raises(LedgerError, match=f"segment {name} was altered"):
            fold([entry.encode()], [], altered.__getitem__)
    with pytest.raises(LedgerError, match="is missing"):
        fold([entry.encode()], [])


def test_a_change_in_a_segment_must_be_legal_too() -> None:
    entry, texts = written(MANY)
    ledger = Ledger(RecordsInMemory(), [entry.encode()], (), texts.__getitem__)
    back = RecordsInMemory({key: replace(record, state=State.INCOMPLETE) for key, record in MANY.items()})
    _, more = written(back)
    second = replace(entry, sequence=1, previous=digest(entry.encode()), segments=tuple(more))
    with pytest.raises(LedgerError, match="makes data/0/00000 incomplete, which was admitted"):
        ledger.check(second, back)
    with pytest.raises(LedgerError, match="which was admitted"):
        fold([entry.encode(), second.encode()], [], {**texts, **more}.__getitem__)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("reason", ["", '","state":"evicted"', "\\", '{"state":"doomed"}', "x\t\n\u2028"])
def test_the_state_is_told_by_the_text_alone(state: State, reason: str) -> None:
    for record in (Record(state, "v", 1, WHEN, WHEN, reason), Record(state, reason, 1, WHEN, WHEN, digest=reason, ours=True)):
        text = write_record(record)
        assert state_in(text) is state
        assert not {"\n", "\t"} & set(text)
