"""The readers of what a host may write, by the kind of file, each over its JSON before it is sealed: for the fuzzers, and for the corpus."""

from __future__ import annotations

import os
from collections.abc import Callable

from maintainer.cli.rebase import read_first_entry
from maintainer.core import events
from maintainer.core.errors import EventError
from maintainer.core.moments import from_text, to_text
from maintainer.format import files
from maintainer.format.boundary import LONGEST, FormatError
from maintainer.format.crypto import MasterKey, derive, encrypt
from maintainer.format.indexes import read_index, read_loosely
from maintainer.format.trees import read_tree

KEY = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
PASSWORD = "correct horse"


def sealed(plain: bytes) -> bytes:
    return encrypt(KEY, plain, os.urandom(16))


def open_master_key(plain: bytes) -> MasterKey:
    user = derive(PASSWORD, b"s" * 64, n=2, r=1, p=1)
    return files.open_key(files.KeyFile(2, 1, 1, b"s" * 64, encrypt(user, plain, os.urandom(16))), PASSWORD)


def read_event(line: bytes) -> object:
    """Read what an agent says, as the controller does."""
    try:
        return events.decode(line.decode(errors="surrogateescape"))
    except EventError as error:
        raise FormatError(error.message) from error


READERS: dict[str, Callable[[bytes], object]] = {
    "key": files.parse_key,
    "master key": open_master_key,
    "config": lambda plain: files.parse_config(KEY, sealed(plain)),
    "lock": lambda plain: files.parse_lock(KEY, sealed(plain)),
    "snapshot": lambda plain: files.parse_snapshot(KEY, sealed(plain)),
    "index": lambda plain: list(read_index(KEY, sealed(plain))),
    "loose index": lambda plain: read_loosely(KEY, sealed(plain)),
    "tree": lambda plain: read_tree(KEY, sealed(plain), compressed=False),
    "first entry": read_first_entry,
    "event": read_event,
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
