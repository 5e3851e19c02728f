"""What an attacker has to work with: the host's key to the bucket, the repository's password, and what it backs up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from maintainer.core.admission import Blob
from maintainer.drill.forge import Forged
from maintainer.format.crypto import MasterKey
from maintainer.format.indexes import read_index


class Target(Protocol):
    """A repository under attack, by keys below its prefix."""

    @property
    def host(self) -> str:
        """Return the host's name, as its snapshots have it."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the paths that it backs up."""

    def master_key(self) -> MasterKey:
        """Open the repository with the password."""

    def objects(self, folder: str = "") -> list[str]:
        """Return the current keys below a folder."""

    def get(self, key: str) -> bytes:
        """Read an object."""

    def put(self, key: str, body: bytes, **headers: Any) -> None:
        """Put an object with the host's key."""

    def hide(self, key: str) -> None:
        """Delete an object, which takes a key that may."""


def put_all(target: Target, *files: Forged) -> None:
    """Put what was forged under its own name."""
    for file in files:
        target.put(file.key, file.body)


def true_contents(target: Target) -> Mapping[str, tuple[Blob, ...]]:
    """Return what the repository's indexes say, by pack."""
    found: dict[str, tuple[Blob, ...]] = {}
    for name in target.objects("index/"):
        for pack, blobs in read_index(target.master_key(), target.get(name)):
            found[pack] = (*found.get(pack, ()), *blobs)
    return found
