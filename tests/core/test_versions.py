"""Which version of a key is the true one, case by case."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from maintainer.core.versions import Digests, KeyHistory, ObjectVersion, Truth, Unreadable, VersionRef, classify, next_to_hash

GOOD = b"what restic wrote"
ID = hashlib.sha256(GOOD).hexdigest()
PACK, SNAPSHOT, LOCK = f"data/{ID[:2]}/{ID}", f"snapshots/{ID}", f"locks/{ID}"
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def history(key: str, shape: str) -> tuple[KeyHistory, Digests, frozenset[VersionRef]]:
    """Build a history, newest first: G good, B bad, A archived, x foreign marker, p marker that a committed run wrote."""
    versions: list[ObjectVersion] = []
    digests: dict[VersionRef, str | Unreadable] = {}
    journal: set[VersionRef] = set()
    for number, letter in enumerate(shape):
        version = ObjectVersion(key, f"{number}{letter}", letter in "xp", 0 if letter in "xp" else len(GOOD), WHEN)
        versions.append(version)
        if letter in "GBA":
            contents: dict[str, str | Unreadable] = {"G": ID, "B": "0" * 64, "A": Unreadable.ARCHIVED}
            digests[version.ref] = contents[letter]
        if letter == "p":
            journal.add(version.ref)
    return KeyHistory(key, tuple(versions)), digests, frozenset(journal)


@pytest.mark.parametrize(
    ("key", "shape", "truth"),
    [
        (PACK, "G", Truth.INTACT),
        (PACK, "BG", Truth.OVERWRITTEN),
        (PACK, "B" * 50 + "G", Truth.OVERWRITTEN),
        (PACK, "GB", Truth.INTACT),
        (PACK, "AG", Truth.OVERWRITTEN),
        (PACK, "xG", Truth.DELETED),
        (PACK, "xBG", Truth.DELETED),
        (PACK, "pG", Truth.PRUNED),
        (PACK, "xpG", Truth.PRUNED),
        (PACK, "BpG", Truth.JUNK),
        (PACK, "GpG", Truth.REPLAYED),
        (PACK, "xGpG", Truth.DELETED),
        (PACK, "BB", Truth.AMBIGUOUS),
        (PACK, "AB", Truth.AMBIGUOUS),
        (PACK, "x", Truth.ABSENT),
        (PACK, "xB", Truth.ABSENT),
        (SNAPSHOT, "B", Truth.JUNK),
        (SNAPSHOT, "A", Truth.AMBIGUOUS),
        (SNAPSHOT, "G", Truth.INTACT),
        (SNAPSHOT, "GpG", Truth.REPLAYED),
        (LOCK, "xG", Truth.PRUNED),
        (LOCK, "B", Truth.JUNK),
        ("notes.txt", "G", Truth.FOREIGN),
    ],
)
def test_a_history_has_one_truth(key: str, shape: str, truth: Truth) -> None:
    built, digests, journal = history(key, shape)
    assert next_to_hash(built, digests, journal, None) is None
    assert classify(built, digests, journal, None).truth is truth


def test_the_newest_true_version_is_the_one_to_heal_from() -> None:
    built, digests, journal = history(PACK, "BGG")
    true_version = classify(built, digests, journal, None).true_version
    assert true_version is not None
    assert true_version.version_id == "1G"


def test_versions_below_the_first_true_one_are_never_hashed() -> None:
    built, digests, journal = history(PACK, "BGBBB")
    known: dict[VersionRef, str | Unreadable] = {}
    hashed: list[str] = []
    while version := next_to_hash(built, known, journal, None):
        hashed.append(version.version_id)
        known[version.ref] = digests[version.ref]
    assert hashed == ["0B", "1G"]


def test_a_pack_without_a_past_is_not_hashed() -> None:
    built, _, journal = history(PACK, "G")
    assert next_to_hash(built, {}, journal, None) is None


def test_config_is_held_to_the_pinned_digest() -> None:
    built, digests, journal = history("config", "BG")
    assert classify(built, digests, journal, ID).truth is Truth.OVERWRITTEN
