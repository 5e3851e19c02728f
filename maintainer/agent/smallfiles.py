"""Indexes and snapshots as a run reads them: within its room in memory, and each fetched once."""

from __future__ import annotations

from maintainer.agent.run import Opened, Run
from maintainer.core.admission import contents
from maintainer.core.repofiles import MAXIMA, parse_key
from maintainer.core.versions import ObjectVersion
from maintainer.format import files
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import inflated_size, read_index

INFLATES = 50
"""How much room a snapshot is given for each of its bytes: one that is made to grow beyond is read alone, or not at all."""
TAKES = 2
"""How much room an index is given for each byte of its JSON: what it says of packs of one blob each takes as much."""


def read_contents(run: Run, version: ObjectVersion, opened: Opened) -> dict[str, bytes]:
    """Return what an index says of each pack; FormatError where it is none, or too large."""
    with run.room.hold(version.size):
        inflated = inflated_size(opened.master, read_small(run, version), repository=opened.format)
    with run.room.hold(version.size + TAKES * inflated):
        return contents(read_index(opened.master, read_small(run, version)))


def read_snapshot(run: Run, version: ObjectVersion, opened: Opened) -> files.SnapshotFile:
    """Open a snapshot; FormatError where it is none, or too large."""
    with run.room.hold(INFLATES * version.size):
        return files.parse_snapshot(opened.master, read_small(run, version), repository=opened.format)


def read_small(run: Run, version: ObjectVersion) -> bytes:
    """Return a small file's content; FormatError where it is larger than any of its kind."""
    file = parse_key(version.key)
    limit = MAXIMA[file.type] if file is not None else 0
    try:
        return run.kept.read(version, limit)
    except ValueError as error:
        raise FormatError(f"it is larger than {limit} bytes") from error
