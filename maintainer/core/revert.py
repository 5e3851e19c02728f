"""What must be done so that a bucket shows what committed runs and honest hosts left there: the plan, and nothing else."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from maintainer.core.entries import UNDECIDED
from maintainer.core.findings import Finding, Kind
from maintainer.core.ledger import Fold
from maintainer.core.moments import EPOCH, later
from maintainer.core.records import ADOPTED, Record, State
from maintainer.core.repofiles import MAXIMA, FileType, RepositoryFile, misleads
from maintainer.core.versions import Examine, KeyHistory, Look, ObjectVersion

OURS = "maintainer/"
"""Where identity objects lie below a repository's prefix."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The margins of a plan. `may_mark` is False when the ledger is empty although runs were here: then no marker is touched."""

    now: datetime
    grace: timedelta = timedelta(days=7)
    probation: timedelta = timedelta(days=14)
    respect: timedelta = timedelta(days=7)
    """How long beyond its grace a doomed pack waits for backups that are going on: then it is marked, and taken back if one needs it."""
    answer: timedelta = timedelta(days=30)
    """How long a person has to answer a report, before the versions that it spoke of may expire."""
    looks_per_key: int = 64
    """How many versions of one key are hashed in one run, however many there are."""
    looks_to_spare: int = 20_000
    """How many looks beyond the first two of a key one run spends in all, so that junk can not hold it up."""
    may_mark: bool = True


@dataclass(frozen=True, slots=True)
class Heal:
    """Copy `source` of its key on top, with plain headers. `over` is what it covers: the evidence."""

    source: ObjectVersion
    over: ObjectVersion
    why: Kind


@dataclass(frozen=True, slots=True)
class Mark:
    """Cover the current version `over` by a delete marker."""

    over: ObjectVersion
    why: str


@dataclass(frozen=True, slots=True)
class Truth:
    """A key's true version, where it stands current and plain, and the date of the oldest version that is true."""

    version: ObjectVersion
    first_seen: datetime


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """All that revert will do, and what it found out on the way. Order is the listing's; marks go by their names (`_order`).

    `standing` holds, by key, the true and plain current versions; what `heal` restores joins them. `new` are the keys among both that the
    ledger does not know, `evict` those that it does not know and that never were true. `hidden` (first contact only) are true versions
    under delete markers of nobody's, to be proved before anything else.
    """

    heal: MutableMapping[str, Heal] = field(default_factory=dict)
    mark: Mapping[str, Mark] = field(default_factory=dict)
    evict: Mapping[str, str] = field(default_factory=dict)
    standing: MutableMapping[str, Truth] = field(default_factory=dict)
    new: tuple[str, ...] = ()
    hidden: Mapping[str, Truth] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    """Packs of which no version is true, and that were there before first contact: some of what they hold may be sound."""
    stored: int = 0
    """Bytes of the versions on top, before anything is done."""
    kept: int = 0
    """Bytes of the versions below them: what was replaced or marked, and may be evidence still."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to do to the bucket."""
        return not self.heal and not self.mark


def due(key: str, record: Record, histories: Mapping[str, KeyHistory], fold: Fold, terms: Terms) -> bool:
    """Tell whether a delete marker over `key` would be legitimate now. DESIGN.md, A run: *Due*."""
    if record.state is State.EVICTED or record.reason.startswith(ADOPTED):
        return True
    if record.state is not State.DOOMED:
        return False
    folder = key.partition("/")[0]
    if folder == FileType.INDEX.value:
        return record.ours or later(record.first_seen, terms.grace) <= terms.now
    if folder != FileType.PACK.value:
        return True
    if max(record.since, record.again or record.since) + terms.grace > terms.now:
        return False
    return all(_index_is_gone(f"index/{name}", record.since, histories, fold, terms) for name in record.indexes)


def _came_after_a_marker(history: KeyHistory, record: Record) -> bool:
    """Tell whether somebody put back what a marker hid. What the ledger itself pinned above a marker, a run put there."""
    return history.current.version_id != record.version and any(version.is_marker for version in history.versions)


def _index_is_gone(key: str, since: datetime, histories: Mapping[str, KeyHistory], fold: Fold, terms: Terms) -> bool:
    record, history = fold.records.get(key), histories.get(key)
    if record is not None and record.state is State.ADMITTED:
        return False
    if history is None:
        return True
    # The store's dates are whole seconds: a marker of the same second is not older than the dooming.
    dates = [v.last_modified for v in history.versions if v.is_marker and v.last_modified >= since.replace(microsecond=0)]
    return history.current.is_marker and bool(dates) and min(dates) + terms.grace <= terms.now


def is_overdue(key: str, fold: Fold, terms: Terms) -> bool:
    """Tell whether a pack waits longer than a live backup is respected for."""
    return (record := fold.records.get(key)) is not None and record.since + terms.grace + terms.respect <= terms.now


@dataclass(frozen=True, slots=True)
class Held:
    """Why doomed packs may not go: `all_of_them` until a person has decided, and those that were doomed lately `while_young`."""

    all_of_them: str = ""
    while_young: str = ""

    def why(self, record: Record, terms: Terms) -> str:
        """Return why one doomed pack may not go in this run, or nothing.

        A host may put an incomplete snapshot each night: none holds a pack for longer than grace and probation from its dooming.
        """
        is_young = record.since + terms.grace + terms.probation > terms.now
        return self.all_of_them or (self.while_young if is_young else "")


def what_holds(fold: Fold, terms: Terms) -> Held:
    """Return why doomed packs may not be marked, or released, in this run."""
    if damaged := was_damaged(fold):
        return Held(f"{damaged[0]} was there before first contact and lacks data: nobody has decided about it")
    if any(record.reason == ADOPTED for _, record in fold.records.select(state=State.DOOMED)):
        return Held("what was hidden before first contact is undecided")
    for key, record in fold.records.select(state=State.INCOMPLETE):
        if later(record.first_seen, terms.probation) > terms.now:
            return Held(while_young=f"{key} is incomplete and undecided")
    return Held()


def was_damaged(fold: Fold) -> list[str]:
    """Return the snapshots that were there before us and are not whole: no run of ours saw what they lack go."""
    return [key for key, record in fold.records.select(state=State.INCOMPLETE) if fold.was_there(record.first_seen)]


REJECTED_UNDECIDED = "a person let go of what was undecided"
NOTHING_TRUE = "no version hashes to its name"
MISLEADING = "restic takes its name for that of another file, which it then can not find"
_MARKED_LAST = (
    FileType.LOCK.value,
    FileType.CONFIG.value,
    FileType.SNAPSHOT.value,
    FileType.KEY.value,
    FileType.INDEX.value,
    FileType.PACK.value,
)
"""What refers to others goes first: so that a host that looks meanwhile, or after a kill, finds no snapshot without its data."""


def _order(key: str) -> str:
    return f"{_MARKED_LAST.index(key.partition('/')[0])} {key}"


class _InOrder(UserDict[str, Mark]):
    """Marks in the order of their names."""

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.data))


@dataclass(frozen=True, slots=True)
class Into:
    """Who is told what a plan finds, and where it puts what may be as many as anybody likes. `mark` must keep to the order of its keys."""

    find: Callable[[Finding], None] = lambda _: None
    standing: MutableMapping[str, Truth] = field(default_factory=dict)
    heal: MutableMapping[str, Heal] = field(default_factory=dict)
    mark: MutableMapping[str, Mark] = field(default_factory=_InOrder)
    evict: MutableMapping[str, str] = field(default_factory=dict)


def plan_revert(histories: Mapping[str, KeyHistory], fold: Fold, examine: Examine, terms: Terms, into: Into | None = None) -> RevertPlan:
    """Decide for every key. No plan deletes a version: there is no such action."""
    planner = _Planner(histories, fold, examine, terms, into or Into())
    stored = kept = 0
    for history in histories.values():
        planner.decide(history)
        stored += history.current.size
        if len(history.versions) > 1:
            kept += sum(version.size for version in islice(history.versions, 1, None))
    return RevertPlan(
        heal=planner.heal,
        mark=planner.mark,
        evict=planner.evict,
        standing=planner.standing,
        new=tuple(planner.new),
        hidden=planner.hidden,
        damaged=tuple(planner.damaged),
        stored=stored,
        kept=kept,
    )


@dataclass(frozen=True, slots=True)
class _Search:
    """What a search for a key's true version came to. `finished` is False when the looks ran out."""

    found: ObjectVersion | None
    finished: bool
    unreadable: str = ""


class _Planner:
    """The plan as it grows. Mutable, and never seen outside `plan_revert`."""

    def __init__(self, histories: Mapping[str, KeyHistory], fold: Fold, examine: Examine, terms: Terms, into: Into) -> None:
        self._histories = histories
        self._fold = fold
        self._examine = examine
        self._terms = terms
        self._tell = into.find
        self._spare = terms.looks_to_spare
        self._held = what_holds(fold, terms)
        self.heal = into.heal
        self.mark = into.mark
        self.evict = into.evict
        self.standing = into.standing
        self.new: list[str] = []
        self.hidden: dict[str, Truth] = {}
        self.damaged: list[str] = []

    def decide(self, history: KeyHistory) -> None:
        file = history.file
        if file is None:
            if misleads(history.key):
                self._decide_misleading(history)
            elif not history.key.startswith(OURS) and not history.current.is_marker:
                self._find(Kind.FOREIGN_NAME, history)
        elif file.type is not FileType.LOCK:
            record = self._fold.records.get(history.key)
            if record is None and file.type is FileType.CONFIG:
                return  # its name proves nothing: what is true of it, entry 0 says
            if record is not None and record.state in (State.DOOMED, State.EVICTED):
                self._decide_condemned(history, file, record)
            else:
                self._decide_living(history, file, record)

    def _decide_misleading(self, history: KeyHistory) -> None:
        """Evict a name that stops restic, and mark it; unless a person wants it there."""
        record = self._fold.records.get(history.key)
        if history.current.is_marker or (record is not None and record.state in (State.ADMITTED, State.INCOMPLETE)):
            return
        if record is None:
            self.evict[history.key] = MISLEADING
            self._find(Kind.GARBAGE, history, MISLEADING)
        elif self._terms.may_mark:
            self.mark[_order(history.key)] = Mark(history.current, MISLEADING)
            if _came_after_a_marker(history, record):
                self._find(Kind.REPLAYED, history)

    def _decide_condemned(self, history: KeyHistory, file: RepositoryFile, record: Record) -> None:
        is_due = due(history.key, record, self._histories, self._fold, self._terms)
        if is_due and history.current.is_marker:
            return
        if is_due:
            if _came_after_a_marker(history, record):
                self._find(Kind.REPLAYED, history)
            is_doomed_pack = file.type is FileType.PACK and record.state is State.DOOMED
            if self._terms.may_mark and not (is_doomed_pack and self._held.why(record, self._terms)):
                self.mark[_order(history.key)] = Mark(history.current, record.reason or record.state.value)
            return
        self._decide_living(history, file, record)

    def _decide_living(self, history: KeyHistory, file: RepositoryFile, record: Record | None) -> None:
        current = history.current
        if record is not None and current.version_id == record.version:
            self.standing[history.key] = Truth(current, record.first_seen)
            return
        expected = record.digest if record is not None and file.type is FileType.CONFIG else file.id
        look = self._examine(current) if not current.is_marker and may_be_true(current, file, record) else None
        if look is not None and look.digest == expected:
            self._stands(history, record, look, expected)
            return
        search = self._search(history, file, record, expected)
        if search.found is not None:
            self._restore(history, record, search.found, look)
        elif record is not None:
            self._lost(history, search)
        elif not search.finished and current.last_modified <= self._fold.let_go.get(UNDECIDED, EPOCH) and not current.is_marker:
            self.evict[history.key] = REJECTED_UNDECIDED
        elif not search.finished:
            self._find(Kind.UNDECIDED, history)
        elif search.unreadable and not current.is_marker:
            self._find(Kind.UNREADABLE, history, search.unreadable)
        elif not current.is_marker and file.type is FileType.PACK and self._was_there(history):
            self.damaged.append(history.key)
        elif not current.is_marker:
            why = (
                NOTHING_TRUE
                if any(may_be_true(version, file, None) for version in history.contents())
                else f"it is larger than any file of restic's in {file.type.value}"
            )
            self.evict[history.key] = why
            self._find(Kind.GARBAGE, history, why)

    def _was_there(self, history: KeyHistory) -> bool:
        """Tell whether a file was there before first contact, by the store's own date."""
        return self._fold.was_there(next(history.oldest_first()).last_modified)

    def _stands(self, history: KeyHistory, record: Record | None, look: Look, expected: str) -> None:
        """Take the current version, which is true: as it is where it is plain, else by way of a copy."""
        current = history.current
        if record is None:
            self.new.append(history.key)
        self.standing[history.key] = Truth(current, record.first_seen if record else self._first_seen(history, expected))
        self._tell_what_lies_below(history, record, expected)
        if not look.plain:
            self.heal[history.key] = Heal(current, current, Kind.NOT_PLAIN)
            self._find(Kind.NOT_PLAIN, history, look.why)

    def _tell_what_lies_below(self, history: KeyHistory, record: Record | None, expected: str) -> None:
        """Report what lies right under a true version that no entry has pinned.

        A run of ours healed it, and died before it could tell; or, over a marker of what was doomed, somebody put it back.
        """
        if len(history.versions) == 1:
            return
        below = history.versions[1]
        if below.is_marker:
            kind = Kind.REPLAYED if record is not None and record.state is State.DOOMED else Kind.HIDDEN
            self._tell(Finding(kind, history.key, "", below.version_id))
        elif below.size != history.current.size:
            self._tell(Finding(Kind.OVERWRITTEN, history.key, "", below.version_id))
        elif (look := self._examine(below)).digest != expected:
            self._tell(Finding(Kind.OVERWRITTEN, history.key, look.why if look.digest is None else "", below.version_id))
        elif not look.plain and below.version_id not in self._fold.released.get(history.key, ()):
            self._tell(Finding(Kind.NOT_PLAIN, history.key, look.why, below.version_id))

    def _restore(self, history: KeyHistory, record: Record | None, source: ObjectVersion, look: Look | None) -> None:
        current = history.current
        true = Truth(source, record.first_seen if record else source.last_modified)
        if current.is_marker and (not self._terms.may_mark or (record is None and self._fold.is_first_contact)):
            if record is None:
                self.hidden[history.key] = true
            return
        if record is None:
            self.new.append(history.key)
        why = Kind.HIDDEN if current.is_marker else Kind.OVERWRITTEN
        self.standing[history.key] = true
        self.heal[history.key] = Heal(source, current, why)
        self._find(why, history, look.why if look is not None and look.digest is None else "")

    def _lost(self, history: KeyHistory, search: _Search) -> None:
        if not search.finished:
            self._find(Kind.UNDECIDED, history)
        elif search.unreadable:
            self._find(Kind.UNREADABLE, history, search.unreadable)
        else:
            self._find(Kind.LOST, history)

    def _search(self, history: KeyHistory, file: RepositoryFile, record: Record | None, expected: str) -> _Search:
        """Look for a true version below the current one: the pinned, then the oldest, then ascending."""
        if record is not None:
            pinned = next((version for version in history.contents() if version.version_id == record.version), None)
            if pinned is not None:
                return _Search(pinned, finished=True)
        current = history.current
        candidates = (v for v in history.oldest_first() if v.version_id != current.version_id and may_be_true(v, file, record))
        unreadable = ""
        for number, version in enumerate(candidates):
            if number > 0:
                if number >= self._terms.looks_per_key or self._spare <= 0:
                    return _Search(None, finished=False)
                self._spare -= 1
            look = self._examine(version)
            if look.digest == expected:
                return _Search(version, finished=True)
            unreadable = look.why if look.digest is None else unreadable
        if not unreadable and not current.is_marker and may_be_true(current, file, record):
            look = self._examine(current)
            unreadable = look.why if look.digest is None else ""
        return _Search(None, finished=True, unreadable=unreadable)

    def _first_seen(self, history: KeyHistory, expected: str) -> datetime:
        """Return the date of the oldest true version: whoever puts the same bytes again must not reset it."""
        current = history.current
        older = history.oldest_first()
        oldest = next(older)
        if oldest.version_id == current.version_id or (oldest.size == current.size and self._examine(oldest).digest == expected):
            return oldest.last_modified
        for version in older:
            if version.size != current.size or version.version_id == current.version_id:
                continue
            if self._spare <= 0:
                break
            self._spare -= 1
            if self._examine(version).digest == expected:
                return version.last_modified
        return current.last_modified

    def _find(self, kind: Kind, history: KeyHistory, detail: str = "") -> None:
        self._tell(Finding(kind, history.key, detail, history.current.version_id))


def may_be_true(version: ObjectVersion, file: RepositoryFile, record: Record | None) -> bool:
    """Tell by its size: what is larger than any file of its kind is not even hashed, since a host may put terabytes under one name."""
    return version.size <= MAXIMA[file.type] if record is None else version.size == record.size
