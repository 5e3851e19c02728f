"""Indexes: read as restic writes them, whole or in pieces, and in no other way."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from unittest.mock import patch

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from maintainer.core.admission import Blob, contents
from maintainer.drill import forge
from maintainer.format import crypto, indexes
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey, encrypt
from maintainer.format.indexes import StrangeError, TooLargeError, read_index

KEY = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
A, B = "a" * 64, "b" * 64
BLOB = f'{{"id":"{B}","type":"data","offset":0,"length":50}}'

ESCAPED = BLOB.replace("data", "dat\\u0061")
SHIFTED = BLOB.replace(":0,", ":0.0,")
SCALED = BLOB.replace("50", "1e2")


def sealed(text: str | bytes) -> bytes:
    return encrypt(KEY, text.encode() if isinstance(text, str) else text, os.urandom(16))


_HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
_BLOBS = st.tuples(_HASHES, st.sampled_from(["data", "tree"]), st.integers(0, 1 << 32), st.integers(32, 1 << 32), st.integers(0, 1 << 32))


@settings(max_examples=50)
@given(st.lists(st.tuples(_HASHES, st.lists(_BLOBS, min_size=1, max_size=6)), max_size=5), st.integers(1, 700), st.booleans())
def test_what_is_written_is_read_in_pieces_of_any_size(packs: list[tuple[str, list[Blob]]], piece: int, newline: bool) -> None:
    listed = [
        {
            "id": pack,
            "blobs": [
                {"id": i, "type": t, "offset": o, "length": n, **({"uncompressed_length": u} if u else {})} for i, t, o, n, u in blobs
            ],
        }
        for pack, blobs in packs
    ]
    plain = forge.compact({"packs": listed}) + b"\n" * newline
    with patch.object(crypto, "PIECE", piece):
        assert list(read_index(KEY, sealed(b"\2" + zstandard.compress(plain)))) == [(pack, tuple(blobs)) for pack, blobs in packs]
    assert list(read_index(KEY, sealed(plain))) == [(pack, tuple(blobs)) for pack, blobs in packs]


@pytest.mark.parametrize("text", ['{"packs":null}', '{"supersedes":["' + A + '"],"packs":[]}', '{"supersedes":[],"packs":[]}\n'])
def test_what_go_also_writes_is_read(text: str) -> None:
    assert not list(read_index(KEY, sealed(text)))


@pytest.mark.parametrize(
    "text",
    [
        f'{{"packs":[{{"id":"{A}","blobs":[]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":null}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB.replace(":50", ":31")}]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB.replace(":50", ":0")}]}}]}}',
        '{"packs":[],"PACKS":[]}',
        '{"PACKS":[]}',
        '{"packs": []}',
        '{"packs":[]} ',
        '{"packs":[]}\n\n',
        '{"packs":{}}',
        '{"packs":[],"packs":[]}',
        '{"packs":[,]}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB}]}},]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB},]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB}{BLOB}]}}]}}',
        f'{{"packs":[{{"blobs":[{BLOB}],"id":"{A}"}}]}}',
        f'{{"packs":[{{"id":"{A.upper()}","blobs":[{BLOB}]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{SHIFTED}]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{SCALED}]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{ESCAPED}]}}]}}',
        f'{{"packs":[{{"id":"{A}","blobs":[{BLOB}],"more":1}}]}}',
        '{"packs":[',
        "{}",
    ],
)
def test_what_another_reader_might_take_otherwise_is_strange(text: str) -> None:
    with pytest.raises(StrangeError):
        list(read_index(KEY, sealed(text)))


def test_one_that_inflates_without_end_ends_at_the_limit_and_takes_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "INFLATED", 8 << 20)
    blobs = ",".join([BLOB] * 100_000)
    body = sealed(b"\2" + zstandard.compress(f'{{"packs":[{{"id":"{A}","blobs":[{blobs}]}}]}}'.encode()))
    assert len(body) < 1 << 14
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="inflates to more"):
            contents(read_index(KEY, body))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_an_honest_index_of_very_many_blobs_is_read_in_the_memory_of_one_pack_s(tmp_path: Path) -> None:
    """A tenth of five million would take minutes here; nothing in it depends on the number but the packs' digests."""
    blob = '{{"id":"{0:064x}","type":"data","offset":{0},"length":50}}'
    packs = ",".join(f'{{"id":"{pack:064x}","blobs":[{",".join(blob.format(one) for one in range(1000))}]}}' for pack in range(100))
    file = tmp_path / "index"
    file.write_bytes(sealed(b"\2" + zstandard.compress(f'{{"packs":[{packs}]}}'.encode())))
    del packs
    tracemalloc.start()
    try:
        with file.open("rb") as body:
            assert len(contents(read_index(KEY, body))) == 100
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_more_packs_or_blobs_of_one_than_there_can_be_are_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "MOST_PACKS", 2)
    monkeypatch.setattr(indexes, "MOST_BLOBS", 3)
    two, three = (",".join(f'{{"id":"{pack:064x}","blobs":[{BLOB}]}}' for pack in range(number)) for number in (2, 3))
    assert len(list(read_index(KEY, sealed(f'{{"packs":[{two}]}}'.encode())))) == 2
    with pytest.raises(TooLargeError):
        list(read_index(KEY, sealed(f'{{"packs":[{three}]}}'.encode())))
    for parts in ([BLOB] * 4,), ([BLOB] * 2, [BLOB] * 2):
        packs = ",".join(f'{{"id":"{A}","blobs":[{",".join(part)}]}}' for part in parts)
        with pytest.raises(StrangeError):
            list(read_index(KEY, sealed(f'{{"packs":[{packs}]}}'.encode())))
