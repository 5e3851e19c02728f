"""The ledger: two verified chains, of entries and of people's judgements, and what they add up to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeAlias

from maintainer.core import segments
from maintainer.core.entries import (
    CONFIG_AT,
    GENESIS,
    GROUP_AT,
    REJECTED,
    REPOSITORY,
    RETIRED,
    UNDELETED,
    Entry,
    Group,
    Judgement,
    broken,
    decode_entry,
    decode_judgement,
    digest,
)
from maintainer.core.findings import Reported, unabridged
from maintainer.core.moments import from_text
from maintainer.core.records import ADOPTED, LEGAL, Record, Records, RecordsInMemory, State, Text, state_in, write_record
from maintainer.core.repofiles import FileType

Release: TypeAlias = tuple[str, Mapping[str, tuple[str, ...]]]
"""A run, and the version ids that its commit released, by key."""


@dataclass(frozen=True, slots=True)
class Fold:
    """What a verified chain and its judgements add up to. `head` is the next sequence number and its predecessor's digest."""

    records: Records = field(default_factory=RecordsInMemory)
    findings: Mapping[str, Reported] = field(default_factory=dict)
    acknowledged: frozenset[str] = frozenset()
    expected: frozenset[Group] = frozenset()
    observed: tuple[Group, ...] = ()
    accepted: bool = False
    accepted_keys: frozenset[str] = frozenset()
    accepted_config: str = ""
    """The version id of a changed config that a person accepted last."""
    head: tuple[int, str] = (0, GENESIS)
    judgements: int = 0
    endorsed: frozenset[str] = frozenset()
    """Keys of snapshots that a person found good, whatever speaks against them."""
    pending_undeletes: frozenset[str] = frozenset()
    """Keys that a person took back since the last entry: their markers are no attack."""
    committed_runs: frozenset[str] = frozenset()
    commits: tuple[datetime, ...] = ()
    """When runs committed, in order."""
    released: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Version ids that may expire, by key."""
    releases: tuple[Release, ...] = ()
    """What each commit released: its run may have died before it had tagged all of it, or lacked the right to."""
    last_commit: str = ""
    identity: str = ""
    """SHA-256 of entry 0."""

    @property
    def is_first_contact(self) -> bool:
        """Tell whether no run has ever committed."""
        return not self.last_commit

    def having(self, state: State) -> dict[str, Record]:
        """Return the records in one state, by key."""
        return dict(self.records.select(state=state))


ReadSegment: TypeAlias = Callable[[str], bytes]
"""Returns the text of the segment with this name."""


def _none(name: str) -> bytes:
    raise broken(f"segment {name} is missing")


def fold(bodies: Iterable[bytes], judgement_bodies: Sequence[bytes], read_segment: ReadSegment = _none) -> Fold:
    """Verify both chains from their bytes and add them up; LedgerError at the first link that does not follow."""
    return Ledger(RecordsInMemory(), bodies, judgement_bodies, read_segment).fold


class Ledger:
    """Both chains, verified link by link as they are read, and their sum so far.

    A judgement takes effect with the first entry that folded it; those that no entry has folded yet take effect at the end, so that
    the run at hand already heeds them. `fold` is their sum until the next `append`, which changes what it holds.
    """

    def __init__(
        self, records: Records, bodies: Iterable[bytes] = (), judgement_bodies: Sequence[bytes] = (), read_segment: ReadSegment = _none
    ) -> None:
        """Read both, and keep the records in `records`; LedgerError at the first link that does not follow."""
        judgements = _verify_judgements(judgement_bodies)
        self._state = state = _Folding(records)
        self._head = (0, GENESIS)
        self._identity = ""
        self._judgements = len(judgements)
        for body in bodies:
            number, previous = self._head
            entry = decode_entry(body)
            if entry.sequence != number:
                raise broken(f"entry {number} is missing (found {entry.sequence})")
            if entry.previous != previous:
                raise broken(f"entry {number} does not follow from the one before it")
            if not state.folded <= entry.judgements <= len(judgements):
                raise broken(f"entry {number} folds {entry.judgements} judgements, {len(judgements)} are there")
            state.judge(judgements[state.folded : entry.judgements])
            for texts in _texts(entry, read_segment):
                state.check(number, texts)
                records.put_texts(texts)
            self._take(entry, body)
        pending = judgements[state.folded :]
        state.judge(pending)
        self.fold = self._sum(frozenset(key for one in pending if one.action == "undelete" for key in one.subjects))

    def check(self, entry: Entry, changes: Records) -> None:
        """Make sure that an entry with these changes follows, before it is put: a false one could never be taken back.

        LedgerError if it does not.
        """
        if (entry.sequence, entry.previous, entry.judgements) != (*self._head, self._judgements):
            raise broken(f"entry {entry.sequence} would not follow")
        self._state.check(entry.sequence, changes.texts())

    def append(self, entry: Entry, body: bytes, changes: Records) -> None:
        """Take an entry that was checked and put."""
        self._state.records.put_texts(changes.texts())
        self._take(entry, body)
        self.fold = self._sum(frozenset())

    def suppose(self, changes: Mapping[str, Record]) -> None:
        """Take what entry 0 would pin, in memory alone: for a look at a repository that no run has met."""
        self._state.records.update(changes)

    def _take(self, entry: Entry, body: bytes) -> None:
        self._state.take(entry)
        link = digest(body)
        self._identity = self._identity or link
        self._head = (entry.sequence + 1, link)

    def _sum(self, pending_undeletes: frozenset[str]) -> Fold:
        state = self._state
        return Fold(
            records=state.records,
            findings=state.findings,
            acknowledged=frozenset(state.acknowledged),
            expected=frozenset(state.expected),
            observed=state.observed,
            accepted=state.accepted,
            accepted_keys=frozenset(state.accepted_keys),
            accepted_config=state.accepted_config,
            endorsed=frozenset(state.endorsed),
            head=self._head,
            judgements=self._judgements,
            pending_undeletes=pending_undeletes,
            committed_runs=frozenset(state.committed),
            commits=tuple(state.commits),
            released={key: frozenset(versions) for key, versions in state.released.items()},
            releases=tuple(state.releases),
            last_commit=state.last_commit,
            identity=self._identity,
        )


class _Folding:
    """The sum so far. Mutable, and never seen outside `Ledger`."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.findings: dict[str, Reported] = {}
        self.acknowledged: set[str] = set()
        self.expected: set[Group] = set()
        self.observed: tuple[Group, ...] = ()
        self.accepted = False
        self.accepted_keys: set[str] = set()
        self.accepted_config = ""
        self.endorsed: set[str] = set()
        self.committed: set[str] = set()
        self.last_commit = ""
        self.commits: list[datetime] = []
        self.released: dict[str, set[str]] = {}
        self.releases: list[Release] = []
        self.folded = 0

    def check(self, sequence: int, texts: Iterable[Text]) -> None:
        for key, text in texts:
            before, after = self.records.state_of(key), state_in(text)
            if after not in LEGAL[before]:
                raise broken(f"entry {sequence} makes {key} {after.value}, which was {before.value if before else 'new'}")

    def take(self, entry: Entry) -> None:
        if entry.observed:
            self.observed = entry.observed
        if entry.kind in ("admission", "commit"):
            self.findings = unabridged(entry.findings, self.findings)
        if entry.kind == "commit":
            self.committed.add(entry.run_id)
            self.last_commit = entry.at
            self.commits.append(from_text(entry.at))
            for key, versions in entry.released.items():
                self.released.setdefault(key, set()).update(versions)
            if entry.released:
                self.releases.append((entry.run_id, entry.released))
            self.acknowledged &= set(self.findings)

    def judge(self, judgements: Iterable[Judgement]) -> None:
        for judgement in judgements:
            self.folded = judgement.number + 1
            match judgement.action:
                case "endorse":
                    self.endorsed |= set(judgement.subjects)
                case "ack":
                    self.acknowledged |= set(judgement.subjects)
                case "accept" | "undelete" | "reject" | "retire" as action:
                    heed = {"accept": self._accept, "undelete": self._undelete, "reject": self._reject, "retire": self._retire}[action]
                    for subject in judgement.subjects:
                        heed(subject, judgement)
                case other:
                    raise broken(f"judgement {judgement.number} says {other!r}, which this release does not know")

    def _accept(self, subject: str, judgement: Judgement) -> None:
        if subject.startswith(CONFIG_AT):
            self.accepted_config = subject.removeprefix(CONFIG_AT)
        elif subject.startswith(GROUP_AT):
            host, paths = json.loads(subject.removeprefix(GROUP_AT))
            self.expected.add((host, tuple(paths)))
        elif subject.startswith(f"{FileType.KEY.value}/"):
            self.accepted_keys.add(subject)
        elif subject == REPOSITORY:
            self.accepted = True
            self._decide_adopted(judgement)
        else:
            raise broken(f"judgement {judgement.number} accepts {subject!r}, which this release does not know")

    def _decide_adopted(self, judgement: Judgement) -> None:
        for key, record in self.records.select(state=State.DOOMED):
            if record.reason == ADOPTED:
                self.records[key] = replace(record, reason=f"{ADOPTED}, accepted", since=from_text(judgement.at))

    def _reject(self, key: str, judgement: Judgement) -> None:
        """Let a snapshot go: one that is whole as a policy would; one that never was for good, unless a person takes it back."""
        self.endorsed.discard(key)
        if (before := self.records.get(key)) is not None and before.state in (State.ADMITTED, State.INCOMPLETE):
            state = State.DOOMED if before.state is State.ADMITTED else State.EVICTED
            self.records[key] = replace(before, state=state, reason=f"{REJECTED}{judgement.who}", since=from_text(judgement.at))

    def _retire(self, key: str, judgement: Judgement) -> None:
        """Let a key go: who holds its password alone can open the repository with it no more."""
        self.accepted_keys.discard(key)
        if (before := self.records.get(key)) is not None and before.state is State.ADMITTED:
            self.records[key] = replace(before, state=State.DOOMED, reason=f"{RETIRED}{judgement.who}", since=from_text(judgement.at))

    def _undelete(self, key: str, judgement: Judgement) -> None:
        """Take a key back. A snapshot comes back incomplete: admission proves it, and takes back the packs that it needs."""
        if (before := self.records.get(key)) is not None and before.state is not State.ADMITTED:
            is_snapshot = key.startswith(f"{FileType.SNAPSHOT.value}/")
            self.records[key] = replace(
                before,
                state=State.INCOMPLETE if is_snapshot else State.ADMITTED,
                reason="",
                since=from_text(judgement.at),
                suspect=f"{UNDELETED}{judgement.who}" if is_snapshot else "",
            )


def _texts(entry: Entry, read_segment: ReadSegment) -> Iterator[Sequence[Text]]:
    """Yield what an entry changes, a part at a time."""
    if entry.changes:
        yield [(key, write_record(record)) for key, record in entry.changes.items()]
    for name in entry.segments:
        yield segments.read(name, read_segment(name))


def _verify_judgements(bodies: Sequence[bytes]) -> list[Judgement]:
    previous = GENESIS
    judgements: list[Judgement] = []
    for number, body in enumerate(bodies):
        judgement = decode_judgement(body)
        if judgement.number != number or judgement.previous != previous:
            raise broken(f"judgement {number} does not follow from the one before it")
        judgements.append(judgement)
        previous = digest(body)
    return judgements
