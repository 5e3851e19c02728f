"""The ledger: two verified chains, of entries and of people's judgements, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from maintainer.core import segments
from maintainer.core.entries import GENESIS, Entry, Group, Judgement, Segment, broken, decode_entry, decode_judgement, digest
from maintainer.core.errors import LedgerError
from maintainer.core.findings import Reported
from maintainer.core.folding import Folding, Release
from maintainer.core.reading import Reading
from maintainer.core.records import Record, Records, RecordsInMemory, State, Text, write_record


@dataclass(frozen=True, slots=True)
class Fold:
    """What a verified chain and its judgements add up to. `head` is the next sequence number and its predecessor's digest."""

    records: Records = field(default_factory=RecordsInMemory)
    findings: Mapping[str, Reported] = field(default_factory=dict)
    told: Mapping[str, Reported] = field(default_factory=dict)
    """What the last run that committed has reported: what one found that came to nothing is news still."""
    acknowledged: frozenset[str] = frozenset()
    expected: frozenset[Group] = frozenset()
    observed: tuple[Group, ...] = ()
    accepted: bool = False
    accepted_keys: frozenset[str] = frozenset()
    accepted_config: str = ""
    """The version id of a changed config that a person accepted last."""
    accepted_reading: str = ""
    """The code of the reading that a person chose, where a repository could be read in several ways before first contact."""
    let_go: Mapping[str, datetime] = field(default_factory=dict)
    """When a person let go of all that was undecided then, or that no key of ours opened: by the word for it (`entries.LET_GO`)."""
    rebased: bool = False
    """Whether a person declared lost whatever ledger was here before this one."""
    head: tuple[int, str] = (0, GENESIS)
    judgements: int = 0
    endorsed: frozenset[str] = frozenset()
    """Keys of snapshots that a person found good, whatever speaks against them."""
    pending: tuple[Judgement, ...] = ()
    """Judgements since the last entry: the next run heeds them."""
    committed_runs: frozenset[str] = frozenset()
    commits: tuple[datetime, ...] = ()
    """When runs committed, in order."""
    readings: tuple[Reading, ...] = ()
    """What was read of the packs: the last time that everything was, and since."""
    released: Mapping[str, AbstractSet[str]] = field(default_factory=dict)
    """Version ids that may expire, by key; of those that have gone since, not all."""
    releases: tuple[Release, ...] = ()
    """What each commit since the last base released: its run may have died before it had tagged all of it, or lacked the right to."""
    last_commit: str = ""
    met: datetime | None = None
    """When the first run had surveyed the repository: what the store saw until then was there before us."""
    identity: str = ""
    """SHA-256 of entry 0."""

    @property
    def is_first_contact(self) -> bool:
        """Tell whether no run has ever committed."""
        return not self.last_commit

    @property
    def pending_undeletes(self) -> frozenset[str]:
        """Return the keys that a person took back since the last entry: their markers are no attack."""
        return frozenset(key for one in self.pending if one.action == "undelete" for key in one.subjects)

    def was_there(self, seen: datetime) -> bool:
        """Tell whether a file that the store first saw then was there before the first run."""
        return self.met is None or seen <= self.met

    def having(self, state: State) -> dict[str, Record]:
        """Return the records in one state, by key."""
        return dict(self.records.select(state=state))


ReadSegments: TypeAlias = Callable[[Iterable[str]], Iterator[bytes]]
"""Yields the texts of segments with these names, in order."""


def _none(names: Iterable[str]) -> Iterator[bytes]:
    raise broken(f"segment {next(iter(names))} is missing")


def fold(bodies: Iterable[bytes], judgement_bodies: Sequence[bytes], read_segments: ReadSegments = _none) -> Fold:
    """Verify both chains from their bytes and add them up; LedgerError at the first link that does not follow."""
    return Ledger(RecordsInMemory(), bodies, judgement_bodies, read_segments).fold


VOID = "void"
"""The action of a judgement that nobody can read."""
LEAST_FOR_BASE = 20_000
"""Changes after which there may be another base."""
SHARE_FOR_BASE = 8
"""There is one when one record in so many has changed since the last: a change takes a reader as long as six records of a base."""


@dataclass(frozen=True, slots=True)
class _Link:
    """What an entry makes of the records and has released, and the judgements that it folded make of the records before."""

    judgements: Sequence[Judgement]
    sequence: int
    run_id: str
    changes: Mapping[str, Record]
    segments: tuple[Segment, ...]
    released: Mapping[str, tuple[str, ...]]
    released_in: tuple[Segment, ...]


class Ledger:
    """Both chains, verified link by link as they are read, and their sum so far.

    A judgement takes effect with the first entry that folded it; those that no entry has folded yet take effect at the end, so that
    the run at hand already heeds them. `fold` is their sum until the next `append`, which changes what it holds.

    An entry may have a base: all records as they are after it. What the entries before it changed is then not read, unless all is to be
    verified: then each base must say what the entries do.
    """

    def __init__(
        self,
        records: Records,
        bodies: Iterable[bytes] = (),
        judgement_bodies: Sequence[bytes] = (),
        read_segments: ReadSegments = _none,
        *,
        verify: bool = False,
    ) -> None:
        """Read both, and keep the records in `records`; LedgerError at the first link that does not follow."""
        judgements = _verify_judgements(judgement_bodies)
        self.void = tuple(one.number for one in judgements if one.action == VOID)
        """Numbers of judgements that nobody can read: they decide nothing, and the chain goes on over them."""
        self._state = state = Folding(records)
        self._read_segments = read_segments
        self._head = (0, GENESIS)
        self._identity = ""
        self._judgements = len(judgements)
        self._changes = 0
        base: tuple[Segment, ...] = ()
        base_released: tuple[Segment, ...] = ()
        late: list[_Link] = []
        for body in bodies:
            number, previous = self._head
            entry = decode_entry(body)
            if entry.sequence != number:
                raise broken(f"entry {number} is missing (found {entry.sequence})")
            if entry.previous != previous:
                raise broken(f"entry {number} does not follow from the one before it")
            if not state.folded <= entry.judgements <= len(judgements):
                raise broken(f"entry {number} folds {entry.judgements} judgements, {len(judgements)} are there")
            fresh = judgements[state.folded : entry.judgements]
            state.judge(fresh)
            link = _Link(fresh, number, entry.run_id, entry.changes, entry.segments, entry.released, entry.released_in)
            if verify:
                self._apply(link)
                if entry.base:
                    segments.compare(number, records, self._texts(entry.base))
                    self._compare_released(entry)
            elif entry.base:
                base, base_released = entry.base, entry.base_released
                late = [_Link((), number, entry.run_id, {}, (), entry.released, entry.released_in)]
            else:
                late.append(link)
            self._take(entry, body)
        for texts in self._texts(base):
            records.put_texts(texts)
        state.take_released(self._released(base_released))
        for link in late:
            self._apply(link)
        pending = judgements[state.folded :]
        state.judge(pending)
        state.judge_records(pending)
        self.fold = self._sum(tuple(pending))

    def _apply(self, link: _Link) -> None:
        """Make of the records what a link does; LedgerError where it may not."""
        self._state.judge_records(link.judgements)
        if link.changes:
            texts = [(key, write_record(record)) for key, record in link.changes.items()]
            self._state.check(link.sequence, texts)
            self._state.records.put_texts(texts)
        for texts in self._texts(link.segments):
            self._state.check(link.sequence, texts)
            self._state.records.put_texts(texts)
        released: dict[str, list[str]] = {key: list(versions) for key, versions in link.released.items()}
        for key, versions in self._released(link.released_in):
            released.setdefault(key, []).extend(versions)
        self._state.release(link.run_id, released)

    def _released(self, named: Sequence[Segment]) -> Iterator[tuple[str, list[str]]]:
        """Yield what segments say was released."""
        bodies = self._read_segments(one.name for one in named) if named else ()
        for segment, body in zip(named, bodies, strict=True):
            yield from segments.read_released(segment, body)

    def _compare_released(self, entry: Entry) -> None:
        """Make sure that a base says of nothing that it was released which no entry released; LedgerError if it does."""
        for key, versions in self._released(entry.base_released):
            if not self._state.released.get(key, set()).issuperset(versions):
                raise broken(f"the base of entry {entry.sequence} says of {key} that more was released than the entries do")

    def _texts(self, named: Sequence[Segment]) -> Iterator[list[Text]]:
        """Yield the records of segments, a segment at a time."""
        if not named:
            return iter(())
        return map(segments.read, named, self._read_segments(one.name for one in named))

    @property
    def is_base_due(self) -> bool:
        """Tell whether so much was changed since the last base that another pays."""
        return self._changes > max(LEAST_FOR_BASE, len(self._state.records) // SHARE_FOR_BASE)

    def check(self, entry: Entry, changes: Records) -> None:
        """Make sure that an entry with these changes follows, before it is put: a false one could never be taken back.

        LedgerError if it does not.
        """
        if (entry.sequence, entry.previous, entry.judgements) != (*self._head, self._judgements):
            raise broken(f"entry {entry.sequence} would not follow")
        self._state.check(entry.sequence, changes.texts())

    def append(self, entry: Entry, body: bytes, changes: Records, released: Mapping[str, Collection[str]]) -> None:
        """Take an entry that was checked and put."""
        self._state.records.put_texts(changes.texts())
        self._state.release(entry.run_id, released)
        self._take(entry, body)
        self.fold = self._sum(())

    def suppose(self, changes: Mapping[str, Record]) -> None:
        """Take what entry 0 would pin, in memory alone: for a look at a repository that no run has met."""
        self._state.records.update(changes)

    def _take(self, entry: Entry, body: bytes) -> None:
        self._state.take(entry)
        named = sum(one.records for one in (*entry.segments, *entry.released_in))
        self._changes = 0 if entry.base else self._changes + len(entry.changes) + len(entry.released) + named
        link = digest(body)
        self._identity = self._identity or link
        self._head = (entry.sequence + 1, link)

    def _sum(self, pending: tuple[Judgement, ...]) -> Fold:
        state = self._state
        return Fold(
            records=state.records,
            findings=state.findings,
            told=state.told,
            acknowledged=frozenset(state.acknowledged),
            expected=frozenset(state.expected),
            observed=state.observed,
            accepted=state.accepted,
            accepted_keys=frozenset(state.accepted_keys),
            accepted_config=state.accepted_config,
            accepted_reading=state.accepted_reading,
            let_go=dict(state.let_go),
            rebased=state.rebased,
            endorsed=frozenset(state.endorsed),
            head=self._head,
            judgements=self._judgements,
            pending=pending,
            committed_runs=frozenset(state.committed),
            commits=tuple(state.commits),
            readings=state.readings,
            released=state.released,
            releases=tuple(state.releases),
            last_commit=state.last_commit,
            met=state.met,
            identity=self._identity,
        )


def _verify_judgements(bodies: Sequence[bytes]) -> list[Judgement]:
    previous = GENESIS
    judgements: list[Judgement] = []
    for number, body in enumerate(bodies):
        try:
            judgement = decode_judgement(body)
        except LedgerError:
            # Nobody may delete it, and it was no person's word: it must not stop the repository for ever.
            judgement = Judgement(number, previous, "", "", VOID)
        if judgement.number != number or judgement.previous != previous:
            raise broken(f"judgement {number} does not follow from the one before it")
        judgements.append(judgement)
        previous = digest(body)
    return judgements
