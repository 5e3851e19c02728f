"""What a run keeps on shelves besides the ledger's records: versions, looks at them, and what a plan would do."""

from __future__ import annotations

import json
from typing import Any

from maintainer.core.moments import from_text, to_text
from maintainer.core.revert import Mark
from maintainer.core.versions import Look, ObjectVersion
from maintainer.edges.shelf import Shelf


def versions() -> Shelf[tuple[ObjectVersion, ...]]:
    """Return a shelf for versions of each key, newest first."""
    return Shelf(lambda some: json.dumps([_raw(version) for version in some]), lambda text: tuple(map(_version, json.loads(text))))


def looks() -> Shelf[Look]:
    """Return a shelf for looks: of most there is only a digest to keep."""
    return Shelf(
        lambda look: look.digest if look.digest and look == Look(look.digest) else json.dumps([look.digest, look.plain, look.why]),
        lambda text: Look(*json.loads(text)) if text.startswith("[") else Look(text),
    )


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
