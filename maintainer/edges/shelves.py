"""What a run keeps on shelves besides the ledger's records: versions, looks at them, and what a plan would do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from maintainer.core.findings import Kind
from maintainer.core.moments import from_text, to_text
from maintainer.core.revert import Heal, Mark, Truth
from maintainer.core.versions import Look, ObjectVersion
from maintainer.core.view import Shown
from maintainer.edges.shelf import Shelf, decoded, encoded


def versions() -> Shelf[tuple[ObjectVersion, ...]]:
    """Return a shelf for versions of each key, newest first."""
    return Shelf(lambda some: json.dumps([_raw(version) for version in some]), lambda text: tuple(map(_version, json.loads(text))))


def looks() -> Shelf[Look]:
    """Return a shelf for looks: of most there is only a digest to keep."""
    return Shelf(
        lambda look: look.digest if look.digest and look == Look(look.digest) else json.dumps([look.digest, look.plain, look.why]),
        lambda text: Look(*json.loads(text)) if text.startswith("[") else Look(text),
    )


def truths() -> Shelf[Truth]:
    """Return a shelf for what stands true of each key."""
    return Shelf(lambda truth: json.dumps([*_raw(truth.version), to_text(truth.first_seen)]), _truth)


class ShownShelf(Shelf[ObjectVersion], Shown):
    """Versions that a view shows: they are copied when it is made, so that nothing that is found out later changes them."""

    def __init__(self, versions: Shown) -> None:
        super().__init__(_line, _of_line)
        self.put_rows((encoded(key), "", _line(version)) for key, version in versions.below())

    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield some of them, in order."""
        return ((decoded(key), _of_line(value)) for key, _, value in self.rows(folder))

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield some of them with their sizes alone: restic asks for no more of a million packs."""
        return ((decoded(key), int(value.partition(" ")[0])) for key, _, value in self.rows(folder))


def _line(version: ObjectVersion) -> str:
    return f"{version.size} {to_text(version.last_modified)} {json.dumps([version.key, version.version_id])}"


def _of_line(text: str) -> ObjectVersion:
    size, made, named = text.split(" ", 2)
    key, version_id = json.loads(named)
    return ObjectVersion(key, version_id, is_marker=False, size=int(size), last_modified=from_text(made))


def _truth(text: str) -> Truth:
    *raw, first_seen = json.loads(text)
    return Truth(_version(raw), from_text(first_seen))


def heals() -> Shelf[Heal]:
    """Return a shelf for what a plan would heal: after an attack that may be everything."""
    return Shelf(lambda heal: json.dumps([_raw(heal.source), _raw(heal.over), heal.why.value]), _heal)


def _heal(text: str) -> Heal:
    source, over, why = json.loads(text)
    return Heal(_version(source), _version(over), Kind(why))


def marks() -> Shelf[Mark]:
    """Return a shelf for what a plan would mark."""
    return Shelf(lambda mark: json.dumps([_raw(mark.over), mark.why]), _mark)


def words() -> Shelf[str]:
    """Return a shelf for a word of each key."""
    return Shelf(str, str)


def _mark(text: str) -> Mark:
    over, why = json.loads(text)
    return Mark(_version(over), why)


def _raw(version: ObjectVersion) -> list[Any]:
    return [version.key, version.version_id, version.is_marker, version.size, to_text(version.last_modified)]


def _version(raw: list[Any]) -> ObjectVersion:
    key, version_id, is_marker, size, last_modified = raw
    return ObjectVersion(key, version_id, is_marker, size, from_text(last_modified))
