"""What one repository's run works with, and the picture of the bucket that its steps keep up to date."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import PurePosixPath

from maintainer.agent.knowntrees import KnownTrees
from maintainer.agent.room import Room
from maintainer.core import segments, shortids
from maintainer.core.amounts import counted
from maintainer.core.entries import Entry, Group, Segment
from maintainer.core.errors import ConcurrentRunError, NotFoundError, StoreError
from maintainer.core.findings import Finding, Found, Kind, Reported, Standing, abridged
from maintainer.core.job import RepositoryJob
from maintainer.core.ledger import Fold, Ledger
from maintainer.core.moments import to_text
from maintainer.core.records import Record, Records
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.revert import Terms, Truth
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Admitted, Layers, Shown, View
from maintainer.edges import restic, shelves
from maintainer.edges.clock import Clock
from maintainer.edges.keptfiles import KeptFiles
from maintainer.edges.log import Recorder
from maintainer.edges.objectstore import Looks, S3Store
from maintainer.edges.restic import Outcome, Restic
from maintainer.edges.scratch import Scratch, disk
from maintainer.edges.shelf import RecordShelf
from maintainer.edges.statestore import StateStore
from maintainer.edges.surveyed import Surveyed
from maintainer.edges.viewserver import Permissions, ViewServer
from maintainer.format.crypto import MasterKey

ROOM = 64 << 20
"""Bytes of small files that are read at the same time."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The key that opened the repository, and what it gave. `config` is to be pinned, where its owner has migrated it (agent.formats)."""

    key: str
    master: MasterKey
    password: str = field(repr=False)
    format: int = 2
    config: Record | None = None


@dataclass
class Run:
    """One run over one repository. `standing` holds what is true, current and plain, by key; `findings` all that was found so far."""

    run_id: str
    job: RepositoryJob
    store: S3Store
    state: StateStore
    restic: Restic
    recorder: Recorder
    clock: Clock
    looks: Looks = field(init=False)
    kept: KeptFiles = field(init=False)
    room: Room = field(init=False)
    known_trees: KnownTrees = field(default_factory=KnownTrees)
    cache: Scratch | None = None
    """What restic may keep trees, indexes and snapshots in, from when it is known how much that is."""
    histories: Surveyed = field(init=False)
    """What the survey listed, and what was put on top since."""
    ledger: Ledger = field(init=False)
    standing: MutableMapping[str, Truth] = field(default_factory=dict)
    findings: Found = field(default_factory=Found)
    read: MutableMapping[str, str] = field(default_factory=shelves.words)
    """The version ids of packs of which this run has had every byte read and verified, by key."""
    has_read_everything: bool = False
    """Whether a check of this run has read every pack that was there before the prune."""
    undeleted: frozenset[str] = frozenset()
    """Keys that a person took back since the last entry that was there when this run began."""
    has_healed: bool = False
    """Whether this run has healed anything: what lacked it may be whole."""
    may_mark: bool = True
    """False at first contact where another ledger was here before: no delete marker is put or taken away then."""
    has_earlier_ledger: bool = False
    """Whether another ledger was here before this one, and no person has accepted the repository, or declared the other lost, since."""
    digits: int = shortids.LEAST
    """How many digits of an id are shown, so that it is no other's."""
    is_committed: bool = False
    redirect: bool | None = None
    earlier_runs: dict[str, tuple[RepositoryFile, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Start with an empty memory of looks and of small files."""
        self.histories = Surveyed(disk(), "")
        self.ledger = Ledger(RecordShelf())
        self.looks = Looks(self.store)
        self.kept = KeptFiles(self.store)
        self.room = Room(ROOM)

    def close(self) -> None:
        """Give back what the survey and restic's cache take of the disk: it may be much, and the next repository needs it."""
        self.histories.close()
        if self.cache is not None:
            self.cache.close()
            self.cache = None

    @property
    def now(self) -> datetime:
        """Return the time, as the steps judge by it."""
        return self.clock.now()

    @property
    def fold(self) -> Fold:
        """Return what the ledger adds up to, as far as this run has it."""
        return self.ledger.fold

    def terms(self) -> Terms:
        """Return the margins of a plan made now."""
        job = self.job
        return Terms(now=self.now, grace=job.grace, probation=job.probation, answer=job.answer, may_mark=self.may_mark)

    def survey(self) -> None:
        """List every version below the prefix. Before the ledger is read: an entry that arrives meanwhile must be known first."""
        self.histories.close()
        self.histories = self.store.survey_all(disk())
        self.recorder.record("store.surveyed", keys=len(self.histories), versions=self.histories.versions)

    def read_ledger(self) -> None:
        """Read and verify both chains."""
        self.ledger = self.state.ledger()
        self.digits = shortids.digits(self.every_key)
        self.recorder.record("ids.shortened", digits=self.digits)
        settled = {identity: one for identity, one in self.fold.findings.items() if identity in self.fold.acknowledged}
        self.findings = Found({**self.fold.told, **settled}, self._untold())
        self.undeleted = self.fold.pending_undeletes
        self.earlier_runs = self.state.runs()
        if self.fold.head[0] and not len(self.histories):
            raise NotFoundError(
                f"nothing at all lies at {self.job.place}, where the ledger knows {counted(len(self.fold.records), 'file')}",
                guidance="correct the repository's location; if it is right, whoever may delete versions has emptied it",
            )
        for name in sorted(self.state.strange):
            self.findings.append(Finding(Kind.FOREIGN_STATE, name))

    def every_key(self) -> Iterator[str]:
        """Yield each key that is in the repository or in the ledger."""
        return (key for key, _ in groupby(heapq.merge(self.histories, self.fold.records)))

    def _untold(self) -> Iterator[Finding]:
        """Yield what a run found that never committed: what it had evicted then nobody finds again, and nobody was told of."""
        for identity, reported in self.fold.findings.items():
            told = self.fold.told.get(identity)
            if (
                reported.standing is Standing.NEW
                and identity not in self.fold.acknowledged
                and (told is None or told.finding != reported.finding)
            ):
                yield reported.finding

    def settled(self) -> tuple[Reported, ...]:
        """Return where every finding stands, as this run has it so far."""
        standing = self.findings.settled(self.fold.acknowledged, now=to_text(self.now))
        return tuple(standing[identity] for identity in sorted(standing))

    def check_head(self) -> None:
        """Make sure that no other run has appended since: before markers are touched. ConcurrentRunError if one has."""
        if self.state.has_entry(self.fold.head[0]):
            raise ConcurrentRunError("another run appended to the ledger meanwhile", guidance="that run goes on; nothing is lost")

    def append(
        self,
        kind: str,
        changes: Records,
        *,
        observed: tuple[Group, ...] = (),
        findings: tuple[Reported, ...] = (),
        checked: Mapping[str, int] | None = None,
        released: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Append one entry; from then on the fold knows it. What it changes is put before it, if it is too much for one object."""
        sequence, previous = self.fold.head
        released = released or {}
        is_inline = len(changes) <= segments.INLINE
        releases_inline = sum(map(len, released.values())) <= segments.INLINE
        is_based = kind == "commit" and self.ledger.is_base_due
        entry = Entry(
            sequence=sequence,
            previous=previous,
            kind=kind,
            run_id=self.run_id,
            at=to_text(self.now),
            repository=self.job.name,
            changes=dict(changes) if is_inline else {},
            judgements=self.fold.judgements,
            observed=observed,
            findings=abridged(findings, self.fold.findings),
            checked=checked or {},
            released=released if releases_inline else {},
            segments=() if is_inline else self.state.put_segments(changes.texts()),
            base=self._base(changes) if is_based else (),
            released_in=() if releases_inline else self.state.put_released(released.items()),
            base_released=self.state.put_released(self._released_and_there()) if is_based else (),
        )
        self.ledger.check(entry, changes)
        self.ledger.append(entry, self.state.append_entry(entry), changes, released)
        self.recorder.record("ledger.appended", sequence=sequence, kind=kind, digest=self.fold.head[1])

    def _base(self, changes: Records) -> tuple[Segment, ...]:
        """Keep all records anew, but for those of which nothing is left in the bucket: a run reads the ledger from the last base on."""
        return self.state.put_segments(segments.base(self.fold.records, changes, self.histories.__contains__))

    def _released_and_there(self) -> Iterator[tuple[str, list[str]]]:
        """Yield what was released and is still in the bucket. What no run has tagged yet is released anew, by a later commit."""
        tagged = self.state.tagged()
        waiting = {(key, one) for run_id, of in self.fold.releases if run_id not in tagged for key, ids in of.items() for one in ids}
        for key, released in self.fold.released.items():
            if (history := self.histories.get(key)) is not None:
                there = [one.version_id for one in history.versions if one.version_id in released and (key, one.version_id) not in waiting]
                if there:
                    yield key, there

    def put_on_top(self, version: ObjectVersion) -> None:
        """Remember what we put, copied or marked."""
        self.histories.put_on_top(version)

    def admitted(self, *kinds: FileType) -> Admitted:
        """Return the admitted objects of these kinds, where a true version of them stands."""
        return Admitted(self.fold.records, self.standing, kinds)

    def shown(self, opened: Opened) -> Shown:
        """Return all that a view of what is admitted shows."""
        return Layers(self.base(opened), self.admitted(FileType.PACK, FileType.INDEX, FileType.SNAPSHOT))

    def base(self, opened: Opened) -> dict[str, ObjectVersion]:
        """Return what every view holds: config, and the one key that opens it."""
        return {key: self.standing[key].version for key in ("config", opened.key)}

    def serve(self, view: View, permissions: Permissions, scratch: dict[str, bytes] | None = None) -> ViewServer:
        """Serve a view, by redirects where the store serves presigned URLs; with `scratch`, nothing that restic writes is put."""
        if self.redirect is None:
            config = self.standing["config"].version
            self.redirect = self.store.serves_urls(config)
        return ViewServer(view, self.kept, permissions, redirect=self.redirect, scratch=scratch)

    def ask(self, server: ViewServer, opened: Opened, argv: tuple[str, ...], *, time: timedelta | None = None) -> Outcome:
        """Run one restic command on a view; its time is counted as restic's.

        Once more where the store failed restic in what it does not fail us (a URL that came too late): restic takes that for damage.
        Where it fails us too, its own error is raised.
        """
        outcome = self._ask(server, opened, argv, time)
        if (why := restic.unread(outcome)) and server.sent is not None and not server.failures:
            try:
                self.store.read_part(server.sent, 0, 1)
            except NotFoundError:  # that is damage
                return outcome
            self.recorder.record("restic.repeated", command=argv[0], reason=f"it could not read a pack that is there: {why}")
            outcome = self._ask(server, opened, argv, time)
        return outcome

    def _ask(self, server: ViewServer, opened: Opened, argv: tuple[str, ...], time: timedelta | None) -> Outcome:
        with self.recorder.restic():
            return self.restic.run(server.address, opened.password, argv, time=time, cache=self.cache.path if self.cache else None)

    def demand(self, server: ViewServer, opened: Opened, argv: tuple[str, ...]) -> str:
        """Run one restic command that must succeed. Where the store failed it, the store's own error is the reason."""
        outcome = self.ask(server, opened, argv)
        if outcome.status == 0:
            return outcome.output
        if server.failures:
            raise StoreError(f"restic {argv[0]}: {server.failures[0]}", guidance="the next run begins anew")
        raise restic.failure(argv[0], outcome)


def short(key: str) -> str:
    """Return a key's last part: the id that restic shows."""
    return PurePosixPath(key).name
