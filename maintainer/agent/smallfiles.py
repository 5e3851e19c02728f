"""Indexes and snapshots as a run reads them: within its room in memory, and each fetched once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from maintainer.agent.run import Opened, Run
from maintainer.core.admission import contents
from maintainer.core.repofiles import MAXIMA, FileType, parse_key
from maintainer.core.versions import ObjectVersion
from maintainer.format import files
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import inflated_size, read_index

INFLATES = 50
"""How much room a snapshot is given for each of its bytes: one that is made to grow beyond is read alone, or not at all."""
TAKES = 2
"""How much room an index is given for each byte of its JSON: what it says of packs of one blob each takes as much."""
MOST = 128 << 20
"""The most room that what an index says can take, in bytes: that of as many packs as it may name."""


def read_contents(run: Run, version: ObjectVersion, opened: Opened) -> dict[str, bytes]:
    """Return what an index says of each pack; FormatError where it is none, or too large."""
    with open_index(run, version) as body:
        inflated = inflated_size(opened.master, body, repository=opened.format)
        with run.room.hold(min(TAKES * inflated, MOST)):
            return contents(read_index(opened.master, body))


@contextmanager
def open_index(run: Run, version: ObjectVersion) -> Iterator[BinaryIO]:
    """Open an index as a file, of which nothing is held in memory; FormatError where it is larger than any."""
    limit = MAXIMA[FileType.INDEX]
    if version.size > limit:
        raise FormatError(f"it is larger than {limit} bytes")
    with run.kept.open(version, limit) as body:
        yield body


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
