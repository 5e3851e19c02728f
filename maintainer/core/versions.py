"""Object versions, the history of a key, and which of its versions is the true one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import groupby
from typing import TypeAlias

from maintainer.core.repofiles import FileType, RepositoryFile, parse_key

VersionRef: TypeAlias = tuple[str, str]
"""(key below the prefix, version id): immutable, so what was once learnt of it stays true."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version or delete marker as the store lists it. `key` is below the repository's prefix; `size` in bytes, 0 for a marker."""

    key: str
    version_id: str
    is_marker: bool
    size: int
    last_modified: datetime
    storage_class: str = "STANDARD"

    @property
    def ref(self) -> VersionRef:
        """Return what names this version for ever."""
        return (self.key, self.version_id)


@dataclass(frozen=True, slots=True)
class KeyHistory:
    """All versions of one key, newest first (the order of the listing, not of the times, which are whole seconds)."""

    key: str
    versions: tuple[ObjectVersion, ...]

    @property
    def current(self) -> ObjectVersion:
        """Return the newest version or marker."""
        return self.versions[0]

    @property
    def file(self) -> RepositoryFile | None:
        """Return which repository file this is."""
        return parse_key(self.key)


def histories(versions: Iterable[ObjectVersion]) -> Iterator[KeyHistory]:
    """Group a listing (keys in order, versions newest first) by key."""
    for key, group in groupby(versions, key=lambda version: version.key):
        yield KeyHistory(key, tuple(group))


class Unreadable(Enum):
    """Why the content of a version could not be learnt."""

    ARCHIVED = "archived"
    FOREIGN_KEY = "encrypted under a key that is not ours"


Digests: TypeAlias = Mapping[VersionRef, str | Unreadable]
"""SHA-256 in hex of versions that were read, or why they could not be."""


class Truth(Enum):
    """What a key's history says."""

    INTACT = "the current version is the true one"
    OVERWRITTEN = "a version that does not hash to the name lies over the true one"
    DELETED = "a delete marker that no committed run wrote lies over the true version"
    PRUNED = "a committed run deleted it"
    REPLAYED = "the true version was uploaded again after a committed run deleted it"
    JUNK = "content that never hashed to the name, where nothing true should be"
    AMBIGUOUS = "no readable version hashes to the name"
    ABSENT = "deleted, and nothing true lies below"
    FOREIGN = "not a name that restic gives"


@dataclass(frozen=True, slots=True)
class Classification:
    """The verdict on one key; `true_version` is the newest version whose content hashes to the name, where there is one."""

    truth: Truth
    true_version: ObjectVersion | None = None


SMALL = frozenset({FileType.SNAPSHOT, FileType.INDEX, FileType.KEY, FileType.LOCK, FileType.CONFIG})
"""Types that restic reads on every start: one bad file stops it, so that each is hashed once even without a history.
A pack of one version is left to check --read-data."""


def expected_digest(file: RepositoryFile, config_digest: str | None) -> str | None:
    """Return the SHA-256 that the content must have; for config the pinned one, None before first contact."""
    return config_digest if file.type is FileType.CONFIG else file.id


def next_to_hash(history: KeyHistory, digests: Digests, journal: frozenset[VersionRef], config_digest: str | None) -> ObjectVersion | None:
    """Return the version whose digest must be learnt before the history can be classified, or None when enough is known.

    Walks from the newest: stops at the first version that hashes to the name, so that old ones are read only when newer ones are false.
    """
    file = history.file
    if file is None or (expected := expected_digest(file, config_digest)) is None:
        return None
    if _needs_no_look(history, file, journal):
        return None
    for version in history.versions:
        if version.is_marker:
            continue
        digest = digests.get(version.ref)
        if digest is None:
            return version
        if digest == expected:
            return None
    return None


def _needs_no_look(history: KeyHistory, file: RepositoryFile, journal: frozenset[VersionRef]) -> bool:
    if len(history.versions) == 1:
        return history.current.is_marker or file.type not in SMALL
    return history.current.is_marker and (history.current.ref in journal or file.type is FileType.LOCK)


def classify(history: KeyHistory, digests: Digests, journal: frozenset[VersionRef], config_digest: str | None) -> Classification:  # noqa: PLR0911 - one return a verdict reads as the table it is
    """Say what a history is. Call when `next_to_hash` returns None; `journal` holds the markers of committed runs."""
    file = history.file
    if file is None:
        return Classification(Truth.FOREIGN)
    current = history.current
    if current.is_marker and (current.ref in journal or file.type is FileType.LOCK):
        return Classification(Truth.PRUNED)
    if _needs_no_look(history, file, journal) and not current.is_marker:
        return Classification(Truth.INTACT, current)
    expected = expected_digest(file, config_digest)
    true_version = next((v for v in history.versions if not v.is_marker and digests.get(v.ref) == expected), None) if expected else None
    pruned_above = _pruned_above(history, true_version, journal)
    if true_version is None:
        if current.is_marker:
            return Classification(Truth.ABSENT)
        unreadable = any(isinstance(digests.get(v.ref), Unreadable) for v in history.versions if not v.is_marker)
        return Classification(Truth.AMBIGUOUS if unreadable or file.type not in SMALL or file.type is FileType.CONFIG else Truth.JUNK)
    if pruned_above:
        return Classification(Truth.PRUNED if current.is_marker else Truth.JUNK)
    if current is true_version:
        replayed = any(v.is_marker and v.ref in journal for v in history.versions)
        return Classification(Truth.REPLAYED if replayed else Truth.INTACT, true_version)
    return Classification(Truth.DELETED if current.is_marker else Truth.OVERWRITTEN, true_version)


def _pruned_above(history: KeyHistory, true_version: ObjectVersion | None, journal: frozenset[VersionRef]) -> bool:
    """Tell whether a committed run deleted the key after the true version was written: what came later must not bring it back."""
    for version in history.versions:
        if version is true_version:
            return False
        if version.is_marker and version.ref in journal:
            return True
    return False
