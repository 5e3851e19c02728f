"""A repository of very many small packs, made without a backup: all that restic does with one but its data is as in a large one."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.edges.clock import SystemClock
from maintainer.format.crypto import MasterKey
from maintainer.format.files import open_key, parse_key
from tests.support.repositories import RESTIC

PASSWORD = "bench"  # noqa: S105 - of a repository that lives as long as a benchmark
PER_INDEX = 5_000
PER_FILE, PER_FOLDER = 1_000, 10_000
UNUSED = 100
"""One pack in so many is of no use to any snapshot: a prune has something to delete."""


def repository(packs: int) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and contents of a repository of so many packs, and one snapshot over all but a hundredth of them."""
    config, key_name, key_body, master = _initial()
    yield "config", config
    yield key_name, key_body
    used: list[str] = []
    for first in range(0, packs, PER_INDEX):
        indexed: dict[str, tuple[forge.Blob, ...]] = {}
        for number in range(first, min(first + PER_INDEX, packs)):
            made = forge.pack(master, [("data", b"%d " % number + os.urandom(64), "")])
            indexed[made.id] = made.blobs
            if number % UNUSED:
                used.append(made.blobs[0].id)
            yield made.key, made.body
        index = forge.index(master, indexed)
        yield index.key, index.body
    yield from _snapshot(master, used)


def _initial() -> tuple[bytes, str, bytes, MasterKey]:
    """Let restic make an empty repository; return its config, a key that is cheap to open, and what that gives."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "RESTIC_PASSWORD": PASSWORD}
        subprocess.run([RESTIC, "init", "-r", folder], env=environment, check=True, capture_output=True)
        (key,) = Path(folder, "keys").iterdir()
        cheap = forge.forged(FileType.KEY, forge.cheaper_key(key.read_bytes(), PASSWORD))
        return Path(folder, "config").read_bytes(), cheap.key, cheap.body, open_key(parse_key(cheap.body), PASSWORD)


def _snapshot(master: MasterKey, blobs: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield a snapshot over these blobs, the trees that it needs, and their index."""
    contents: list[tuple[str, bytes, str]] = []
    folders: list[dict[str, object]] = []
    for first in range(0, len(blobs), PER_FOLDER):
        part = blobs[first : first + PER_FOLDER]
        files = [_file(f"file{at:06d}", part[at : at + PER_FILE]) for at in range(0, len(part), PER_FILE)]
        contents.append(("tree", forge.tree(files), ""))
        folders.append({"name": f"folder{first:09d}", "type": "dir", "subtree": hashlib.sha256(contents[-1][1]).hexdigest()})
    contents.append(("tree", forge.tree(folders), ""))
    trees = forge.pack(master, contents)
    index = forge.index(master, {trees.id: trees.blobs})
    made = forge.snapshot(master, time=SystemClock().now(), host="bench", paths=["/bench"], tree=trees.blobs[-1].id)
    for one in (trees, index, made):
        yield one.key, one.body


def _file(name: str, content: list[str]) -> dict[str, object]:
    return {"name": name, "type": "file", "size": 70 * len(content), "content": content}
