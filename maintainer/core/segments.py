"""Segments: what an entry says of very many keys, beside it, in texts that are named by their hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from maintainer.core.entries import broken, digest
from maintainer.core.records import Records, Text

INLINE = 100
"""An entry with more changes than this has them in segments."""
MOST = 20_000
"""Records of one segment: some seven megabytes of text."""
LONGEST = 256 << 20
"""Bytes of a segment's text, at most: a snapshot's record names what may be long, such as reasons and indexes."""


def cut(records: Records) -> Iterator[bytes]:
    """Yield the texts of segments that hold these, in the order of the keys: a line each, the key and the record."""
    texts = iter(records.texts())
    while lines := [f"{key}\t{text}\n" for key, text in islice(texts, MOST)]:
        yield "".join(lines).encode()


def read(name: str, body: bytes) -> Sequence[Text]:
    """Return the keys and texts of a segment; LedgerError if it is not what the entry names."""
    if digest(body) != name:
        raise broken(f"segment {name} was altered")
    return [_parse(line) for line in body.decode().split("\n")[:-1]]


def _parse(line: str) -> Text:
    key, _, text = line.partition("\t")
    return key, text
