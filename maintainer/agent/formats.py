"""Which format a repository has. Its owner may have migrated it; whoever has the password may say so too, and say otherwise the next day.

A repository is of format 2 once any authentic config said so, of its id and its polynomial. Then its hosts may have written compressed
files, which restic reads under no config of format 1: so the config of format 2 is the one that serves from that run on, and another on top
of it is an overwritten one. It harms nobody: restic reads files of both formats under it. A person is told, and accepts it in their time.

In a repository of format 1 restic refuses all that is compressed. Such a file is garbage there. Where config has more versions than a run
reads, a migration may be among them: then nothing new is judged, and the next run reads others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from random import SystemRandom

from maintainer.agent.run import Opened, Run
from maintainer.core.findings import Finding, Kind
from maintainer.core.records import Record, State
from maintainer.core.repofiles import MAXIMA, FileType
from maintainer.core.revert import Truth
from maintainer.core.versions import ObjectVersion, histories
from maintainer.edges.inorder import in_order
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey
from maintainer.format.files import Config, parse_config

COMPRESSED = 2
"""The format whose files may be compressed."""
MIGRATED = "migrated"
UNKNOWN = 0
MOST_CONFIGS = 10_000
"""Versions of config that a run reads, at most: of more than these any, so that no host knows which. An honest one has two."""
READERS = 8


def read(run: Run, opened: Opened) -> Opened:
    """Return the repository with its format; and, where its owner has migrated it, with the config that serves from now on on top."""
    record, version = run.fold.records["config"], run.standing["config"].version
    pinned = parse_config(opened.master, run.store.read(version, MAXIMA[FileType.CONFIG]))
    if record.reason == MIGRATED and run.fold.accepted_config != record.version:
        _tell(run, record.version)
    if pinned.version == COMPRESSED:
        return replace(opened, format=COMPRESSED)
    _refresh(run)
    found = migrated(run, opened.master, pinned)
    if found is None:
        is_known = len(run.histories["config"].versions) <= MOST_CONFIGS
        return replace(opened, format=pinned.version if is_known else UNKNOWN)
    version, digest = found
    current = run.histories["config"].current
    if version.version_id != current.version_id or not run.looks(version).plain:
        version = run.store.heal(version, digest)
        run.put_on_top(version)
    run.standing["config"] = Truth(version, record.first_seen)
    _tell(run, version.version_id)
    change = replace(record, version=version.version_id, size=version.size, since=run.now, reason=MIGRATED, digest=digest)
    return replace(opened, format=COMPRESSED, config=change)


def migrated(run: Run, master: MasterKey, pinned: Config) -> tuple[ObjectVersion, str] | None:
    """Return the oldest version of config that says format 2, and nothing else than the pinned one, with its digest; None if none does."""

    def parse(version: ObjectVersion) -> tuple[Config, str] | None:
        try:
            body = run.store.read(version, MAXIMA[FileType.CONFIG])
            return parse_config(master, body), hashlib.sha256(body).hexdigest()
        except (FormatError, ValueError):
            return None

    wanted = replace(pinned, version=COMPRESSED)
    for version, parsed in in_order(parse, _some(run), READERS, "config"):
        if parsed is not None and parsed[0] == wanted:
            return version, parsed[1]
    return None


def _some(run: Run) -> Iterator[ObjectVersion]:
    """Yield the versions of config, oldest first; of very many a sample."""
    versions = list(run.histories["config"].oldest_first())
    if len(versions) <= MOST_CONFIGS:
        return iter(versions)
    chosen = SystemRandom().sample(range(len(versions)), MOST_CONFIGS)
    return iter([versions[number] for number in sorted(chosen)])


def _refresh(run: Run) -> None:
    """Take in what has come on top of config since the survey: a migration, and what a host wrote after it, may be in the same survey."""
    known = {version.version_id for version in islice(run.histories["config"].versions, MOST_CONFIGS)}
    for history in histories(run.store.survey("config")):
        if history.key == "config":
            fresh = [version for version in islice(history.versions, MOST_CONFIGS) if version.version_id not in known]
            for version in reversed(fresh):
                run.put_on_top(version)
        break


def _tell(run: Run, version_id: str) -> None:
    run.findings.append(Finding(Kind.MIGRATED, "config", "it says format 2, and nothing else than before", version_id))


def of_first_contact(run: Run, master: MasterKey, oldest: ObjectVersion, body: bytes) -> Record:
    """Return what entry 0 pins as config: the oldest that authenticates; or, where that was migrated since, the migrated one."""
    version, digest = migrated(run, master, parse_config(master, body)) or (oldest, hashlib.sha256(body).hexdigest())
    return Record(State.ADMITTED, version.version_id, version.size, oldest.last_modified, run.now, digest=digest)
