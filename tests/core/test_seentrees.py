"""Remembered trees: what was written is what is read, and anything else is told apart from it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core import seentrees
from maintainer.core.seentrees import SeenTree, decode, encode

IDS = st.binary(min_size=32, max_size=32)
TREES = st.dictionaries(
    IDS, st.builds(SeenTree, st.lists(IDS, max_size=5).map(tuple), st.dictionaries(IDS, st.integers(0, 2**32 - 1), max_size=5)), max_size=20
)


def read(pieces: list[bytes]) -> dict[bytes, SeenTree]:
    return {name: tree for piece in pieces for name, tree in decode(piece)}


@given(TREES, st.integers(1, 2000))
def test_what_was_written_is_read_however_many_pieces_it_takes(trees: dict[bytes, SeenTree], length: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seentrees, "PIECE", length)
        pieces = list(encode(trees))
    assert read(pieces) == trees
    assert not trees or len(pieces) <= len(trees)


@given(TREES.filter(bool), st.data())
def test_a_piece_that_was_cut_or_altered_is_none(trees: dict[bytes, SeenTree], data: st.DataObject) -> None:
    (piece,) = encode(trees)
    at = data.draw(st.integers(0, len(piece) - 1))
    for wrong in (piece[:at], piece[:at] + bytes([piece[at] ^ 1]) + piece[at + 1 :], b""):
        with pytest.raises(ValueError, match="no piece"):
            list(decode(wrong))


def test_a_length_that_no_pack_has_is_not_remembered() -> None:
    assert list(encode({bytes(32): SeenTree((), {bytes(32): 2**32})})) == []
