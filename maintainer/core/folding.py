"""The sum of a ledger's links, as they are added up."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

from maintainer.core.entries import (
    CONFIG_AT,
    GROUP_AT,
    LET_GO,
    READING_AT,
    REJECTED,
    REPOSITORY,
    RETIRED,
    UNDELETED,
    Entry,
    Group,
    Judgement,
    broken,
)
from maintainer.core.findings import Reported, unabridged
from maintainer.core.moments import from_text
from maintainer.core.reading import Reading, reading, with_reading
from maintainer.core.records import ADOPTED, LEGAL, Records, State, Text, state_in
from maintainer.core.repofiles import FileType

Release: TypeAlias = tuple[str, Mapping[str, Collection[str]]]
"""A run, and the version ids that its commit released, by key."""


class Folding:
    """The sum so far. Mutable, and never seen outside `Ledger`."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.findings: dict[str, Reported] = {}
        self.told: dict[str, Reported] = {}
        self.acknowledged: set[str] = set()
        self.expected: set[Group] = set()
        self.observed: tuple[Group, ...] = ()
        self.accepted = False
        self.accepted_keys: set[str] = set()
        self.accepted_config = ""
        self.accepted_reading = ""
        self.rebased = False
        self.let_go: dict[str, datetime] = {}
        self.endorsed: set[str] = set()
        self.committed: set[str] = set()
        self.last_commit = ""
        self.met: datetime | None = None
        self.commits: list[datetime] = []
        self.readings: tuple[Reading, ...] = ()
        self.released: dict[str, set[str]] = {}
        self.releases: list[Release] = []
        self.folded = 0

    def release(self, run_id: str, released: Mapping[str, Collection[str]]) -> None:
        """Take what a run's commit released."""
        if released:
            self.take_released(released.items())
            self.releases.append((run_id, released))

    def take_released(self, released: Iterable[tuple[str, Collection[str]]]) -> None:
        """Take what was released at any time."""
        for key, versions in released:
            self.released.setdefault(key, set()).update(versions)

    def check(self, sequence: int, texts: Iterable[Text]) -> None:
        """Make sure that an entry may change these so; LedgerError if not."""
        for key, text in texts:
            before, after = self.records.state_of(key), state_in(text)
            if after not in LEGAL[before]:
                raise broken(f"entry {sequence} makes {key} {after.value}, which was {before.value if before else 'new'}")

    def take(self, entry: Entry) -> None:
        """Take all of an entry but for its records."""
        if entry.kind == "first":
            self.met = from_text(entry.at)
        if entry.observed:
            self.observed = entry.observed
        if entry.kind in ("admission", "commit"):
            self.findings = unabridged(entry.findings, self.findings)
        if entry.kind == "commit":
            self.told = self.findings
        if entry.kind == "commit":
            self.committed.add(entry.run_id)
            self.last_commit = entry.at
            self.commits.append(from_text(entry.at))
            if entry.checked:
                self.readings = with_reading(self.readings, reading(entry.at, entry.checked))
            self.acknowledged &= set(self.findings)

    def judge(self, judgements: Iterable[Judgement]) -> None:
        """Take what judgements say, but for what they make of records."""
        for judgement in judgements:
            self.folded = judgement.number + 1
            subjects = judgement.subjects
            match judgement.action:
                case "endorse":
                    self.endorsed |= set(subjects)
                case "ack":
                    self.acknowledged |= set(subjects)
                case "reject":
                    self.endorsed -= set(subjects)
                    self.let_go |= {one: from_text(judgement.at) for one in subjects if one in LET_GO}
                case "retire":
                    self.accepted_keys -= set(subjects)
                case "accept":
                    for subject in subjects:
                        self._accept(subject, judgement)
                case "rebase":
                    self.rebased = True
                case "undelete" | "void":
                    pass  # it is about records alone, or about nothing
                case other:
                    raise broken(f"judgement {judgement.number} says {other!r}, which this release does not know")

    def judge_records(self, judgements: Iterable[Judgement]) -> None:
        """Take what judgements make of records."""
        for judgement in judgements:
            match judgement.action:
                case "accept" if REPOSITORY in judgement.subjects:
                    self._decide_adopted(judgement)
                case "undelete" | "reject" | "retire" as action:
                    heed = {"undelete": self._undelete, "reject": self._reject, "retire": self._retire}[action]
                    for subject in judgement.subjects:
                        heed(subject, judgement)
                case _:
                    pass

    def _accept(self, subject: str, judgement: Judgement) -> None:
        if subject.startswith(CONFIG_AT):
            self.accepted_config = subject.removeprefix(CONFIG_AT)
        elif subject.startswith(GROUP_AT):
            host, paths = json.loads(subject.removeprefix(GROUP_AT))
            self.expected.add((host, tuple(paths)))
        elif subject.startswith(READING_AT):
            self.accepted_reading = subject.removeprefix(READING_AT)
        elif subject.startswith(f"{FileType.KEY.value}/"):
            self.accepted_keys.add(subject)
        elif subject == REPOSITORY:
            self.accepted = True
        else:
            raise broken(f"judgement {judgement.number} accepts {subject!r}, which this release does not know")

    def _decide_adopted(self, judgement: Judgement) -> None:
        for key, record in self.records.select(state=State.DOOMED):
            if record.reason == ADOPTED:
                self.records[key] = replace(record, reason=f"{ADOPTED}, accepted", since=from_text(judgement.at))

    def _reject(self, key: str, judgement: Judgement) -> None:
        """Let a snapshot go: one that is whole as a policy would; one that never was for good, unless a person takes it back."""
        if (before := self.records.get(key)) is not None and before.state in (State.ADMITTED, State.INCOMPLETE):
            state = State.DOOMED if before.state is State.ADMITTED else State.EVICTED
            self.records[key] = replace(before, state=state, reason=f"{REJECTED}{judgement.who}", since=from_text(judgement.at))

    def _retire(self, key: str, judgement: Judgement) -> None:
        """Let a key go: who holds its password alone can open the repository with it no more."""
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
                unread=key.startswith(f"{FileType.PACK.value}/"),
            )
