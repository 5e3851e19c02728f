"""Which of an account's images nobody needs any more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image of ours. `made` is when, in ISO 8601 and UTC; `used_by` are living instances that were launched from it."""

    id: str
    digest: str
    architecture: str
    made: str
    used_by: tuple[str, ...]

    @property
    def machine(self) -> str:
        """Return its architecture, as the kernel names it."""
        return machine_of(self.architecture)


def machine_of(architecture: str) -> str:
    """Return what EC2 calls an architecture, as the kernel names it."""
    return {"arm64": "aarch64"}.get(architecture, architecture)


def old(images: Iterable[OwnImage], pinned: Collection[str]) -> frozenset[str]:
    """Return the ids of those that may be removed: nobody pins them, nothing runs from them, and they are older than a pinned one.

    What was made since then is to be pinned yet.
    """
    every = list(images)
    newest = max((one.made for one in every if one.id in pinned), default="")
    return frozenset(one.id for one in every if one.id not in pinned and not one.used_by and one.made < newest)
