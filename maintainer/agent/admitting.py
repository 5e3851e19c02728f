"""What a run admits and evicts, as it comes: what the steps of admission share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from maintainer.agent.run import Run, short
from maintainer.core.findings import Finding, Kind
from maintainer.core.moments import EPOCH
from maintainer.core.records import Record, Records, State
from maintainer.core.repofiles import FileType, RepositoryFile, parse_key
from maintainer.core.revert import Truth
from maintainer.core.view import Admitted
from maintainer.edges.shelf import RecordShelf
from maintainer.format import files

TAKEN_BACK = "taken back"
WHY_DISTRUSTED = {
    Kind.POISONED_INDEX: "it says of packs what they do not hold",
    Kind.TOO_LARGE: "it says more than is read of one index",
    Kind.PARTIAL_INDEX: "it says only a part of what its packs hold",
    Kind.DAMAGED_INDEX: "it names packs that are missing or damaged",
    Kind.UNTRUSTED_INDEX: "it names packs that are doomed or evicted",
}


@dataclass
class Admission:
    """What admission came to. `changes` goes into the ledger; `taken_back` remembers the doom that was lifted, by key.

    `uncommitted` is what runs of ours put that never committed: it stays out of every view. `snapshots` are the new ones that open.
    `damaged` are the ids of packs that stay as they were before first contact, outside every view.
    """

    run: Run
    uncommitted: Mapping[str, RepositoryFile]
    changes: Records = field(default_factory=RecordShelf)
    taken_back: dict[str, Record] = field(default_factory=dict)
    snapshots: dict[str, files.SnapshotFile] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)

    def versions(self, *kinds: FileType) -> Admitted:
        """Return what it admitted of these kinds."""
        return Admitted(self.changes, self.run.standing, kinds)

    def admit(self, key: str, reason: str = "", *, trees: bool = False) -> None:
        """Admit a file at the version that stands."""
        record = self.record(key, State.ADMITTED, reason)
        self.changes[key] = replace(record, trees=trees or record.trees, unread=reason == TAKEN_BACK)
        self.run.recorder.record("object.admitted", key=key)

    def admit_ours(self, indexes: Mapping[str, bytes]) -> None:
        """Put indexes that restic made for us, each named in the state store before, and admit them."""
        announce = self.run.state.announce(self.run.run_id)
        for key, body in indexes.items():
            announce(RepositoryFile(FileType.INDEX, short(key)))
            version = self.run.store.put(key, body)
            self.run.put_on_top(version)
            self.run.standing[key] = Truth(version, version.last_modified)
            self.changes[key] = Record(State.ADMITTED, version.version_id, version.size, version.last_modified, self.run.now, ours=True)

    def evict(self, key: str, why: str) -> None:
        """Evict a file: it is in no view, and the next plan marks it."""
        current = self.run.histories[key].current
        self.changes[key] = Record(State.EVICTED, "", current.size, current.last_modified, self.run.now, why)
        self.run.standing.pop(key, None)
        self.run.recorder.record("object.evicted", key=key, why=why)

    def condemn(self, kind: Kind, key: str, detail: str) -> None:
        """Evict a file, and report it: its version is the evidence."""
        self.run.findings.append(Finding(kind, key, detail, self.run.standing[key].version.version_id))
        self.evict(key, WHY_DISTRUSTED.get(kind, detail))

    def record(self, key: str, state: State, reason: str = "") -> Record:
        """Return the record of a file at the version that stands, with what was known of it before."""
        truth = self.run.standing[key]
        first_seen = truth.first_seen
        # A repository that was copied from another bucket is older than its objects. But no store saw an object before 1970; and what is
        # not whole yet has no age: a host completes it later, and would have passed the probation at once.
        is_copied = self.run.fold.is_first_contact and state is State.ADMITTED
        if is_copied and (snapshot := self.snapshots.get(key)) is not None and snapshot.time >= EPOCH:
            first_seen = min(first_seen, snapshot.time)
        suspect, trees = "", False
        if (before := self.run.fold.records.get(key)) is not None:
            first_seen, suspect, trees = before.first_seen, before.suspect, before.trees
        size = truth.version.size
        return Record(state, truth.version.version_id, size, first_seen, self.run.now, reason, suspect=suspect, trees=trees)


def kind_of(key: str) -> FileType:
    """Return which kind of file of a repository a key names; ValueError where it names none."""
    file = parse_key(key)
    if file is None:
        raise ValueError(key)
    return file.type
