"""Segments: what an entry says of very many keys, beside it, in texts that are named by their hash."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, groupby, islice

from maintainer.core.entries import Segment, broken, digest
from maintainer.core.records import Records, State, Text, padded, state_in

INLINE = 100
"""An entry with more changes than this has them in segments."""
MOST = 5_000
"""Records of one segment: nearly two megabytes of text."""
IDS = 100
"""Version ids of one line of what was released."""
LONGEST = 256 << 20
"""Bytes of a segment's text, at most: a snapshot's record names what may be long, such as reasons and indexes."""


def cut(texts: Iterable[Text]) -> Iterator[tuple[int, bytes]]:
    """Yield how many records a segment has, and its text, until these are all in one: a line each, the key and the record."""
    rest = iter(texts)
    while lines := [f"{key}\t{text}\n" for key, text in islice(rest, MOST)]:
        yield len(lines), "".join(lines).encode()


def read(segment: Segment, body: bytes) -> list[Text]:
    """Return the keys and texts of a segment; LedgerError if it is not what the entry names."""
    return [parse(line) for line in _lines(segment, body, padded(body.decode(errors="replace")))]


def _lines(segment: Segment, body: bytes, text: str) -> list[str]:
    lines = text.split("\n")[:-1]
    if digest(body) != segment.name or len(lines) != segment.records:
        raise broken(f"segment {segment.name} was altered")
    return lines


def cut_released(released: Iterable[tuple[str, Collection[str]]]) -> Iterator[tuple[int, bytes]]:
    """Yield how many lines a segment has, and its text, until all that was released is in one: a key and version ids in each line."""
    rest = (
        f"{key}\t{' '.join(ids[at : at + IDS])}\n"
        for key, ids in ((key, sorted(versions)) for key, versions in released)
        for at in range(0, len(ids), IDS)
    )
    while lines := list(islice(rest, MOST)):
        yield len(lines), "".join(lines).encode()


def read_released(segment: Segment, body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Yield the keys and version ids of a segment, a key as often as it has lines; LedgerError if it is not what the entry names."""
    for line in _lines(segment, body, body.decode(errors="replace")):
        key, ids = parse(line)
        yield key, ids.split(" ")


def parse(line: str) -> Text:
    """Return the key and the record's text of one line of a segment."""
    key, _, text = line.partition("\t")
    return key, text


def base(records: Records, changes: Records, is_there: Callable[[str], bool]) -> Iterator[Text]:
    """Yield what a base holds after `changes`: all records, but for those that were let go and of which the bucket has nothing left."""
    both = merge(changes.texts(), records.texts(), key=_key)
    for key, found in groupby(both, key=_key):
        _, text = next(found)
        if not _may_go(text) or is_there(key):
            yield key, text


def compare(sequence: int, records: Records, parts: Iterable[Sequence[Text]]) -> None:
    """Make sure that a base says what the entries before it came to; what it leaves out goes. LedgerError where it does not."""
    based = chain.from_iterable(parts)
    expected = next(based, None)
    for key, text in records.texts():
        if expected is not None and expected == (key, text):
            expected = next(based, None)
        elif _may_go(text) and (expected is None or key < expected[0]):
            del records[key]
        else:
            raise broken(f"the base of entry {sequence} does not say of {key} what the entries do")
    if expected is not None:
        raise broken(f"the base of entry {sequence} has {expected[0]}, which no entry has")


def _may_go(text: str) -> bool:
    return state_in(text) in (State.DOOMED, State.EVICTED)


def _key(text: Text) -> str:
    return text[0]
