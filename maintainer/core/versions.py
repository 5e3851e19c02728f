"""Object versions, the history of a key, and what one look at a version tells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TypeAlias

from maintainer.core.repofiles import RepositoryFile, parse_key


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version or delete marker as the store lists it. `key` is below the repository's prefix; `size` in bytes, 0 for a marker."""

    key: str
    version_id: str
    is_marker: bool
    size: int
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """All versions of one key, newest first (the order of the listing, not of the times, which are whole seconds)."""

    key: str
    versions: Sequence[ObjectVersion]
    """A tuple, or of very many a sequence that reads them from where they lie."""

    @property
    def current(self) -> ObjectVersion:
        """Return the newest version or marker."""
        return self.versions[0]

    @property
    def file(self) -> RepositoryFile | None:
        """Return which repository file this is; None for a name that restic would not have given."""
        return parse_key(self.key)

    def contents(self) -> Iterator[ObjectVersion]:
        """Yield the versions that hold content, newest first."""
        return (version for version in self.versions if not version.is_marker)

    def oldest_first(self) -> Iterator[ObjectVersion]:
        """Yield the versions that hold content, oldest first."""
        return (version for version in reversed(self.versions) if not version.is_marker)


def histories(versions: Iterable[ObjectVersion]) -> Iterator[KeyHistory]:
    """Group a listing (keys in order, versions newest first) by key."""
    for key, group in groupby(versions, key=lambda version: version.key):
        yield KeyHistory(key, tuple(group))


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a version told: the SHA-256 of its content in hex (None when it can not be read), and whether it is plain.

    Plain means the configured encryption and storage class, and no foreign header. `why` says what was in the way of either.
    """

    digest: str | None
    plain: bool = True
    why: str = ""


Examine: TypeAlias = Callable[[ObjectVersion], Look]
"""A look at one version, made when the decision needs it: a download, at its dearest."""
