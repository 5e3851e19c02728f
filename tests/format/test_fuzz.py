"""Whatever a host writes in the place of a file, our reader returns a value that can be told, or raises FormatError; never anything else."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import product

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.moments import from_text, to_text
from maintainer.format import files
from maintainer.format.boundary import LONGEST, FormatError
from maintainer.format.crypto import COMPRESSED, MasterKey, derive, encrypt
from maintainer.format.indexes import read_index
from maintainer.format.trees import read_tree
from tests.support import grammar

KEY = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
PASSWORD = "correct horse"


def sealed(plain: bytes) -> bytes:
    return encrypt(KEY, plain, os.urandom(16))


def open_master_key(plain: bytes) -> MasterKey:
    user = derive(PASSWORD, b"s" * 64, n=2, r=1, p=1)
    return files.open_key(files.KeyFile(2, 1, 1, b"s" * 64, encrypt(user, plain, os.urandom(16))), PASSWORD)


READERS: dict[str, Callable[[bytes], object]] = {
    "key": files.parse_key,
    "master key": open_master_key,
    "config": lambda plain: files.parse_config(KEY, sealed(plain)),
    "lock": lambda plain: files.parse_lock(KEY, sealed(plain)),
    "snapshot": lambda plain: files.parse_snapshot(KEY, sealed(plain)),
    "index": lambda plain: list(read_index(KEY, sealed(plain))),
    "tree": lambda plain: read_tree(KEY, sealed(plain), compressed=False),
}


def read(kind: str, plain: bytes) -> object:
    """Read it; make sure that what comes of it, or why nothing does, can be told."""
    try:
        made = READERS[kind](plain)
    except FormatError as error:
        why = str(error)
    else:
        why = ""
    assert len(why.encode()) <= 4 * (LONGEST + 1)
    if why:
        return None
    repr(made).encode()
    if isinstance(made, files.SnapshotFile):
        assert from_text(to_text(made.time)) == made.time
    return made


@pytest.mark.parametrize("kind", READERS)
def test_the_grammar_is_restic_s_and_what_is_sound_is_read(kind: str) -> None:
    fields = dict(grammar.FIELDS[kind])
    if kind == "master key":
        fields["encrypt"] = base64.b64encode(b"e" * 32).decode()
    assert read(kind, json.dumps(fields, separators=(",", ":")).encode()) is not None


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
def test_a_file_in_which_anything_may_stand_anywhere(kind: str, data: st.DataObject) -> None:
    read(kind, data.draw(grammar.files(kind)))


@pytest.mark.parametrize("kind", ["config", "snapshot", "lock", "index"])
@given(data=st.data(), level=st.integers(1, 3))
def test_and_compressed_with_a_frame_that_may_be_broken(kind: str, data: st.DataObject, level: int) -> None:
    frame = zstandard.ZstdCompressor(level=level).compress(data.draw(grammar.files(kind)))
    read(kind, bytes([COMPRESSED]) + data.draw(grammar.mutated(frame)))


@given(st.data(), st.sampled_from(sorted(READERS)))
def test_a_file_of_any_bytes(data: st.DataObject, kind: str) -> None:
    read(kind, data.draw(st.binary(max_size=200)))


@given(st.binary(max_size=100))
def test_a_file_that_is_not_sealed(body: bytes) -> None:
    for parse in (files.parse_config, files.parse_lock, files.parse_snapshot, lambda key, text: list(read_index(key, text))):
        with suppress(FormatError):
            parse(KEY, body)


@pytest.mark.parametrize("kind", READERS)
def test_each_odd_value_in_each_field(kind: str) -> None:
    sound = {name: json.dumps(each, separators=(",", ":")) for name, each in grammar.FIELDS[kind].items()}
    for name, value in product(sound, grammar.ODD):
        fields = {**sound, name: value}
        read(kind, ("{" + ",".join(f"{json.dumps(each)}:{text}" for each, text in fields.items()) + "}").encode())
