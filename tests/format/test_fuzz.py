"""Whatever a host writes in the place of a file, our reader returns a value that can be told, or raises FormatError; never anything else."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from itertools import product

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from maintainer.format import files
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import COMPRESSED
from maintainer.format.indexes import read_index
from tests.support import grammar
from tests.support.readers import KEY, read


@pytest.mark.parametrize("kind", grammar.FIELDS)
def test_the_grammar_is_restic_s_and_what_is_sound_is_read(kind: str) -> None:
    fields = dict(grammar.FIELDS[kind])
    if kind == "master key":
        fields["encrypt"] = base64.b64encode(b"e" * 32).decode()
    assert read(kind, json.dumps(fields, separators=(",", ":")).encode()) is not None


@pytest.mark.parametrize("kind", grammar.FIELDS)
@given(data=st.data())
def test_a_file_in_which_anything_may_stand_anywhere(kind: str, data: st.DataObject) -> None:
    read(kind, data.draw(grammar.files(kind)))


@pytest.mark.parametrize("kind", ["config", "snapshot", "lock", "index"])
@given(data=st.data(), level=st.integers(1, 3))
def test_and_compressed_with_a_frame_that_may_be_broken(kind: str, data: st.DataObject, level: int) -> None:
    frame = zstandard.ZstdCompressor(level=level).compress(data.draw(grammar.files(kind)))
    read(kind, bytes([COMPRESSED]) + data.draw(grammar.mutated(frame)))


@given(st.data(), st.sampled_from(sorted(grammar.FIELDS)))
def test_a_file_of_any_bytes(data: st.DataObject, kind: str) -> None:
    read(kind, data.draw(st.binary(max_size=200)))


@given(st.binary(max_size=100))
def test_a_file_that_is_not_sealed(body: bytes) -> None:
    for parse in (files.parse_config, files.parse_lock, files.parse_snapshot, lambda key, text: list(read_index(key, text))):
        with suppress(FormatError):
            parse(KEY, body)


@pytest.mark.parametrize("kind", grammar.FIELDS)
def test_each_odd_value_in_each_field(kind: str) -> None:
    sound = {name: json.dumps(each, separators=(",", ":")) for name, each in grammar.FIELDS[kind].items()}
    for name, value in product(sound, grammar.ODD):
        fields = {**sound, name: value}
        read(kind, ("{" + ",".join(f"{json.dumps(each)}:{text}" for each, text in fields.items()) + "}").encode())
