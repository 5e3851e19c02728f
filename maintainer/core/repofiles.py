"""The names in a restic repository (restic's design document, "Repository Layout")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class FileType(Enum):
    """The kinds of file that a repository holds; the value is the folder."""

    CONFIG = "config"
    PACK = "data"
    INDEX = "index"
    SNAPSHOT = "snapshots"
    KEY = "keys"
    LOCK = "locks"


@dataclass(frozen=True, slots=True, order=True)
class RepositoryFile:
    """A file by type and id. `id` is the SHA-256 of its content in hex, but for config, whose id is empty."""

    type: FileType
    id: str

    def key(self) -> str:
        """Return the object's key below the repository's prefix, in restic's default layout for S3."""
        match self.type:
            case FileType.CONFIG:
                return "config"
            case FileType.PACK:
                return f"data/{self.id[:2]}/{self.id}"
            case _:
                return f"{self.type.value}/{self.id}"


_HASHED = re.compile(r"(?:data/(?P<shard>[0-9a-f]{2})|(?P<folder>index|snapshots|keys|locks))/(?P<id>[0-9a-f]{64})")


def parse_key(key: str) -> RepositoryFile | None:
    """Return which file a key below the prefix is, or None for a name that restic would not have given."""
    if key == "config":
        return RepositoryFile(FileType.CONFIG, "")
    found = _HASHED.fullmatch(key)
    if found is None:
        return None
    if found["folder"]:
        return RepositoryFile(FileType(found["folder"]), found["id"])
    return RepositoryFile(FileType.PACK, found["id"]) if found["id"].startswith(found["shard"]) else None


_MISLEADING = re.compile(r"(?:index|snapshots|keys|locks)/[0-9A-Fa-f]{64}(?:/.*)?", re.DOTALL)


def misleads(key: str) -> bool:
    """Tell whether restic takes a name for that of a file which it would not have given so, and then fails to find it.

    It reads the part of a name that follows the folder's as a number: capital letters, and folders that are named so, lead it astray. One
    such name stops every host.
    """
    return parse_key(key) is None and _MISLEADING.fullmatch(key) is not None


LEAST_SAID = 6
"""Digits of an id."""


def is_meant(key: str, said: str) -> bool:
    """Tell whether a person may mean this key: by the whole of it, by its id, or by folder and id as screens show them, each cut or not.

    Fewer digits than `LEAST_SAID` mean nothing: a slip of the finger must not decide on what happens to begin so. A file that restic would
    not have named so is meant by its whole key alone.
    """
    if key == said:
        return True
    file = parse_key(key)
    if file is None or not file.id:
        return False
    digits = said.removeprefix(f"{file.type.value}/")
    return len(digits) >= LEAST_SAID and file.id.startswith(digits)


MAXIMA: Mapping[FileType, int] = {
    FileType.PACK: 4 << 30,
    FileType.INDEX: 1 << 30,
    FileType.SNAPSHOT: 16 << 20,
    FileType.KEY: 64 << 10,
    FileType.CONFIG: 64 << 10,
}
"""The largest file of each kind that is admitted, in bytes."""
