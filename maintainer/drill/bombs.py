"""Bombs: small or cheap to put, and gigabytes or hours to whoever opens them."""

from __future__ import annotations

import base64
import json
import os
import struct

import zstandard

from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.drill.target import Target, put_all
from maintainer.format.crypto import COMPRESSED

INFLATED = 2 << 30
"""Bytes that a bomb comes to."""


def snapshot(target: Target) -> None:
    """Put a snapshot that inflates to gigabytes: every command of plain restic takes it up."""
    put_all(target, forge.bomb(target.master_key(), FileType.SNAPSHOT, INFLATED))


def index(target: Target) -> None:
    """Put an index that inflates to gigabytes, well-formed all the way."""
    put_all(target, forge.bomb(target.master_key(), FileType.INDEX, INFLATED))


def pack(target: Target) -> None:
    """Put a pack with a blob that inflates to gigabytes."""
    put_all(target, forge.bomb_pack(target.master_key(), INFLATED))


def pack_of_impossible_blobs(target: Target) -> None:
    """Put small packs whose headers name blobs that are too short, or longer than the pack: restic tries for long to read them."""
    key = target.master_key()
    for lengths in ((0,), (5,), (31, 0), ((1 << 32) - 1,), (0,) * 100_000):
        header = b"".join(struct.pack("<BI32s", 0, length, os.urandom(32)) for length in lengths)
        end = forge.seal(key, header)
        put_all(target, forge.forged(FileType.PACK, os.urandom(64) + end + struct.pack("<I", len(end))))


def config(target: Target) -> None:
    """Put a config that inflates to gigabytes, and over it one that is large as it lies."""
    target.put("config", forge.bomb(target.master_key(), FileType.CONFIG, INFLATED).body)
    target.put("config", os.urandom(32 << 20))


def index_of_empty_packs(target: Target) -> None:
    """Put an index of a million packs that hold nothing."""
    names = (f'{{"id":"{os.urandom(32).hex()}","blobs":[]}}' for _ in range(1_000_000))
    _put_index(target, f'{{"packs":[{",".join(names)}]}}')


def indexes_of_packs_that_are_nowhere(target: Target) -> None:
    """Put a dozen indexes of tens of thousands of packs that nobody ever put."""
    blob = f'{{"id":"{"ab" * 32}","type":"data","offset":0,"length":38}}'
    for _ in range(12):
        names = (f'{{"id":"{os.urandom(32).hex()}","blobs":[{blob}]}}' for _ in range(60_000))
        _put_index(target, f'{{"packs":[{",".join(names)}]}}')


def _put_index(target: Target, text: str) -> None:
    plain = bytes([COMPRESSED]) + zstandard.ZstdCompressor(level=1).compress(text.encode())
    put_all(target, forge.forged(FileType.INDEX, forge.seal(target.master_key(), plain)))


def key(target: Target) -> None:
    """Put a key file that takes a terabyte of memory to open."""
    raw = {"kdf": "scrypt", "N": 1 << 30, "r": 8, "p": 1, "salt": base64.b64encode(os.urandom(64)).decode(), "data": ""}
    put_all(target, forge.forged(FileType.KEY, json.dumps(raw).encode()))
