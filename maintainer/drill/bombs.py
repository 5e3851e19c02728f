"""Bombs: small or cheap to put, and gigabytes or hours to whoever opens them."""

from __future__ import annotations

import base64
import json
import os

from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.drill.target import Target, put_all

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


def config(target: Target) -> None:
    """Put a config that inflates to gigabytes, and over it one that is large as it lies."""
    target.put("config", forge.bomb(target.master_key(), FileType.CONFIG, INFLATED).body)
    target.put("config", os.urandom(32 << 20))


def key(target: Target) -> None:
    """Put a key file that takes a terabyte of memory to open."""
    raw = {"kdf": "scrypt", "N": 1 << 30, "r": 8, "p": 1, "salt": base64.b64encode(os.urandom(64)).decode(), "data": ""}
    put_all(target, forge.forged(FileType.KEY, json.dumps(raw).encode()))
