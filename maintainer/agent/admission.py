"""Admission: what is new is verified before anything relies on it, and what can not be is evicted, or waits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace

from maintainer.agent.cache import cache_for
from maintainer.agent.formats import MOST_CONFIGS, UNKNOWN
from maintainer.agent.proving import failing_among, index_anew, is_complete, prove_packs, unread_among
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import read_contents, read_snapshot
from maintainer.core.admission import has_trees, judge_indexes
from maintainer.core.amounts import counted
from maintainer.core.findings import Finding, Kind
from maintainer.core.moments import EPOCH, to_minute
from maintainer.core.records import ADOPTED, Record, Records, State
from maintainer.core.repofiles import MAXIMA, FileType, RepositoryFile, parse_key
from maintainer.core.revert import RevertPlan, Truth
from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.core.view import Admitted, Layers
from maintainer.edges.inorder import in_order
from maintainer.edges.shelf import RecordShelf
from maintainer.edges.viewserver import scratch_version
from maintainer.format import files
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import StrangeError

TRIED_KEYS = 20
"""How many keys restic tries with its password before it gives up (its `maxKeys`): those of the repository and strange ones together."""
TOLD_KEYS = 3
"""How many new keys are told of one by one: a person adds one, or two."""
TOO_MANY_KEYS = f"more keys than the {TRIED_KEYS} that restic tries"
READERS = 8
MOST_LOOKS = 10
"""Versions of a doomed file that are hashed: whoever puts true bytes back may put others of the same length over them."""
MANY_PACKS = 10_000
"""Packs of an index: restic ends one at 50,000 blobs, and a pack has hundreds as a rule."""
CLAIMS_A_PACK, LEAST_CLAIMS = 2, 100_000
"""What new indexes together may say and be held in memory: of each object that is there so often, and so much whatever is there."""
TAKEN_BACK = "taken back"
HIDDEN = "it was hidden before first contact"
WHY_DISTRUSTED = {
    Kind.POISONED_INDEX: "it says of packs what they do not hold",
    Kind.UNTRUSTED_INDEX: "it names packs that are doomed or evicted",
}


@dataclass
class Admission:
    """What admission came to. `changes` goes into the ledger; `taken_back` remembers the doom that was lifted, by key.

    `uncommitted` is what runs of ours put that never committed: it stays out of every view.
    """

    uncommitted: Mapping[str, RepositoryFile]
    changes: Records = field(default_factory=RecordShelf)
    taken_back: dict[str, Record] = field(default_factory=dict)
    snapshots: dict[str, files.SnapshotFile] = field(default_factory=dict)

    def versions(self, run: Run, *kinds: FileType) -> Admitted:
        """Return what it admitted of these kinds."""
        return Admitted(self.changes, run.standing, kinds)


def admit(run: Run, plan: RevertPlan, opened: Opened, uncommitted: Mapping[str, RepositoryFile]) -> Admission:
    """Decide over everything new, but for what is `uncommitted`."""
    made = Admission(uncommitted)
    for key, why in plan.evict.items():
        _evict(run, made, key, why)
    new = [key for key in plan.new if key not in uncommitted]
    if opened.format == UNKNOWN and new:
        told = f"of its versions {MOST_CONFIGS} were read, and a migration may be among the others: what is new waits ({len(new)} files)"
        run.findings.append(Finding(Kind.UNDECIDED, "config", told, run.histories["config"].current.version_id))
        new = []
    small = _open_small(run, new, opened, made)
    made.snapshots |= small.snapshots
    _admit_keys(run, [key for key in new if _kind(key) is FileType.KEY], opened, made)
    _admit_indexes(run, small, new, opened, made)
    _admit_config(run, opened, made)
    run.cache = cache_for(run, made.changes)
    _prove_snapshots(run, list(small.snapshots), opened, made)
    if plan.hidden:
        _adopt_hidden(run, plan.hidden, opened, made)
    return made


class _Claims(Mapping[str, Mapping[str, bytes]]):
    """What new indexes claim, by their keys. A host may put any number of them, over the same packs or over none.

    As much is held as the repository's own indexes may say. What others say is read again when it is asked for, one at a time; and of what
    they name only packs that are there are remembered.
    """

    def __init__(self, run: Run, opened: Opened) -> None:
        self._run = run
        self._opened = opened
        self._held: dict[str, Mapping[str, bytes] | None] = {}
        self._left = CLAIMS_A_PACK * len(run.histories) + LEAST_CLAIMS
        self.named: set[str] = set()

    def take(self, key: str, found: Mapping[str, bytes] | None) -> None:
        """Take what one claims; None where that is so much that it is read only now, while no other is."""
        claim = read_contents(self._run, self._run.standing[key].version, self._opened) if found is None else found
        is_held = len(claim) <= self._left
        self._held[key] = claim if is_held else None
        self._left -= len(claim) if is_held else 0
        histories = self._run.histories
        self.named.update(claim if is_held else (pack for pack in claim if RepositoryFile(FileType.PACK, pack).key() in histories))

    def __getitem__(self, key: str) -> Mapping[str, bytes]:
        held = self._held[key]
        return read_contents(self._run, self._run.standing[key].version, self._opened) if held is None else held

    def __contains__(self, key: object) -> bool:
        return key in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


@dataclass
class _Small:
    """New small files that open: what indexes claim, which of them are strange and why, and snapshots; by key."""

    claims: _Claims
    strange: dict[str, str] = field(default_factory=dict)
    snapshots: dict[str, files.SnapshotFile] = field(default_factory=dict)


def _open_small(run: Run, new: list[str], opened: Opened, made: Admission) -> _Small:
    """Open and read new indexes and snapshots; garbage under its own true hash is evicted."""
    small = _Small(_Claims(run, opened))

    def read(key: str) -> dict[str, bytes] | files.SnapshotFile | FormatError | None:
        version = run.standing[key].version
        try:
            if _kind(key) is FileType.SNAPSHOT:
                return read_snapshot(run, version, opened)
            claim = read_contents(run, version, opened)
            return claim if len(claim) <= MANY_PACKS else None  # what others wait for must not wait in memory
        except FormatError as error:
            return error

    wanted = [key for key in new if _kind(key) in (FileType.INDEX, FileType.SNAPSHOT)]
    for key, result in in_order(read, wanted, READERS, "admit"):
        match result:
            case StrangeError():
                small.strange[key] = str(result)
            case FormatError():
                _condemn(run, made, Kind.GARBAGE, key, str(result))
            case files.SnapshotFile():
                small.snapshots[key] = result
            case _:
                small.claims.take(key, result)
    return small


def _admit_keys(run: Run, new: list[str], opened: Opened, made: Admission) -> None:
    """Pin the keys that a person accepted. Of the others as many stay as restic still tries; nobody may use them, but they are told of."""
    strangers: list[str] = []
    pinned = sum(1 for _ in run.fold.records.keys_in(f"{FileType.KEY.value}/", State.ADMITTED))
    for key in sorted(new, key=lambda key: (key not in run.fold.accepted_keys, run.standing[key].first_seen, key)):
        if key in run.fold.accepted_keys:
            _admit(run, made, key)
            pinned += 1
        elif pinned + len(strangers) < TRIED_KEYS:
            if why := _why_no_key(run, key, opened):
                _condemn(run, made, Kind.GARBAGE, key, why)
            else:
                strangers.append(key)
        else:
            _evict(run, made, key, TOO_MANY_KEYS)
    _tell_of_strangers(run, strangers, [key for key in new if key in made.changes and made.changes[key].reason == TOO_MANY_KEYS])


def _why_no_key(run: Run, key: str, opened: Opened) -> str:
    """Return why a new key must not stay where restic looks for keys; empty where it may.

    restic takes the first key that its password opens, and fails where that is not the repository's: so such a key stops every host.
    """
    try:
        file = files.parse_key(run.store.read(run.standing[key].version, MAXIMA[FileType.KEY]))
        if not file.is_affordable:
            return "opening it would cost more than the limit"
        if files.open_key(file, opened.password) != opened.master:
            return "the repository's password opens it to another master key"
    except files.WrongPasswordError:
        return ""
    except ValueError as error:
        return f"it is no key file: {error}"
    return ""


def _tell_of_strangers(run: Run, strangers: list[str], evicted: list[str]) -> None:
    """Report new keys: few of them each; many as one finding, which names those that a person may accept; and what was evicted as one."""
    folder = f"{FileType.KEY.value}/"
    if (there := sum(1 for _ in run.fold.records.keys_in(folder, State.ADMITTED))) > TRIED_KEYS:
        told = f"{there} are the repository's, and restic tries {TRIED_KEYS}: `maintainer key retire` lets those go that are not yours"
        run.findings.append(Finding(Kind.NEW_KEY, folder, told, str(there)))
    if len(strangers) > TOLD_KEYS:
        told = f"{len(strangers)} new keys: {', '.join(map(short, sorted(strangers)))}"
        run.findings.append(Finding(Kind.NEW_KEY, folder, told, _of_all(strangers)))
    else:
        for key in strangers:
            run.findings.append(Finding(Kind.NEW_KEY, key, "", run.standing[key].version.version_id))
    if evicted:
        told = f"{counted(len(evicted), 'key')} more than the {TRIED_KEYS} that restic tries, for example {short(min(evicted))}"
        run.findings.append(Finding(Kind.GARBAGE, folder, told, _of_all(evicted)))


def _of_all(keys: list[str]) -> str:
    """Return the evidence of a finding about several objects: the same for the same ones."""
    return hashlib.sha256(" ".join(sorted(keys)).encode()).hexdigest()[:16]


def _admit_config(run: Run, opened: Opened, made: Admission) -> None:
    """Pin the changed config that a person accepted (`restic migrate` makes one), if it authenticates; revert then puts it on top."""
    before, wanted = run.fold.records["config"], run.fold.accepted_config
    if opened.config is not None:
        made.changes["config"] = opened.config
        return
    if not wanted or before.reason == f"accepted {wanted}":
        return
    version = next((one for one in run.histories["config"].contents() if one.version_id == wanted), None)
    try:
        if version is None:
            raise FormatError("it is gone")
        body = run.store.read(version, MAXIMA[FileType.CONFIG])
        if files.parse_config(opened.master, body).version < opened.format:
            return  # it was accepted before its owner migrated it: what hosts have written since is read under no older config
    except ValueError as error:
        run.findings.append(Finding(Kind.GARBAGE, "config", f"the version that was accepted can not be taken: {error}", wanted))
        return
    digest = hashlib.sha256(body).hexdigest()
    made.changes["config"] = replace(before, version=wanted, size=version.size, since=run.now, reason=f"accepted {wanted}", digest=digest)


def _admit_packs(run: Run, new: list[str], named: AbstractSet[str], opened: Opened, made: Admission) -> dict[str, bytes]:
    """Prove new packs by their own headers, and those that no index of ours has named so far; return what they hold."""
    packs = {key: run.standing[key].version for key in new if _kind(key) is FileType.PACK}
    admitted = run.admitted(FileType.PACK)
    unindexed = {key: admitted[key] for key in named if key in admitted}
    wanted = {**packs, **unindexed}
    proof = prove_packs(run, wanted, opened)
    run.read.update((key, version.version_id) for key, version in wanted.items() if short(key) in proof.contents)
    for key in packs:
        if key in proof.unsound:
            _condemn(run, made, Kind.GARBAGE, key, proof.unsound[key])
        else:
            _admit(run, made, key, trees=has_trees(proof.contents[short(key)]))
    return proof.contents


def _admit_indexes(run: Run, small: _Small, new: list[str], opened: Opened, made: Admission) -> None:
    """Believe an index that says of every pack what the pack says of itself; another is evicted, and one of ours put in its place."""
    before = run.admitted(FileType.PACK)
    # A strange one may name any pack: all that no index of ours names are looked into.
    named = small.claims.named | ({short(key) for key in before} if small.strange else set())
    known = _known_contents(run, {pack for pack in named if RepositoryFile(FileType.PACK, pack).key() in before}, opened)
    proved = _admit_packs(run, new, {RepositoryFile(FileType.PACK, pack).key() for pack in named - known.keys()}, opened, made)
    verdict = judge_indexes(small.claims, small.strange, {**known, **proved}, _condemned(run, made, named), known)
    for key in verdict.trusted:
        _admit(run, made, key)
    for key in (*verdict.poisoned, *verdict.reviving):
        _keep_longer(run, small.claims.get(key, ()), short(key), made)
    for key, why in verdict.poisoned.items():
        _condemn(run, made, Kind.POISONED_INDEX, key, why)
    for key, revived in verdict.reviving.items():
        _condemn(run, made, Kind.UNTRUSTED_INDEX, key, f"{len(revived)} packs")
    packs = Layers(made.versions(run, FileType.PACK), run.admitted(FileType.PACK))
    wanted = {key: packs[key] for key in sorted(RepositoryFile(FileType.PACK, pack).key() for pack in verdict.reindex) if key in packs}
    if wanted:
        _admit_ours(run, made, index_anew(run, wanted, opened))


def _condemned(run: Run, made: Admission, packs: AbstractSet[str]) -> set[str]:
    """Return those of these packs that no index may name: doomed, evicted, or of a run that never committed."""
    keys = {pack: RepositoryFile(FileType.PACK, pack).key() for pack in packs}
    gone = (State.DOOMED, State.EVICTED)
    return {pack for pack, key in keys.items() if key in made.uncommitted or run.fold.records.state_of(key) in gone}


def _keep_longer(run: Run, packs: Iterable[str], index: str, made: Admission) -> None:
    """Doomed packs that an index of a host's named stay for a whole grace from now: a backup may have relied on it."""
    for pack in packs:
        key = RepositoryFile(FileType.PACK, pack).key()
        if (record := made.changes.get(key, run.fold.records.get(key))) is not None and record.state is State.DOOMED:
            made.changes[key] = replace(record, since=run.now, indexes=tuple(sorted({*record.indexes, index})))


def _condemn(run: Run, made: Admission, kind: Kind, key: str, detail: str) -> None:
    """Evict a file, and report it: its version is the evidence."""
    run.findings.append(Finding(kind, key, detail, run.standing[key].version.version_id))
    _evict(run, made, key, WHY_DISTRUSTED.get(kind, detail))


def _known_contents(run: Run, packs: AbstractSet[str], opened: Opened) -> dict[str, bytes]:
    """Return what the admitted indexes, which are proved, say of these packs."""
    found: dict[str, bytes] = {}
    for _, version in run.admitted(FileType.INDEX).below() if packs else ():
        found |= {pack: holds for pack, holds in read_contents(run, version, opened).items() if pack in packs}
    return found


def _prove_snapshots(run: Run, new: list[str], opened: Opened, made: Admission) -> None:
    """Prove new snapshots, and those that were incomplete before, on what is admitted; then on what was doomed."""
    waiting = _waiting(run, made)
    candidates = [*new, *waiting]
    kinds = (FileType.PACK, FileType.INDEX)
    trusted = Layers(run.base(opened), made.versions(run, *kinds), run.admitted(*kinds))
    failing = failing_among(candidates, lambda keys: is_complete(run, trusted, keys, opened))
    unread = _evict_unread(run, made, [key for key in failing if key not in waiting], opened)
    candidates, failing = ([key for key in keys if key not in unread] for keys in (candidates, failing))
    for key in candidates:
        if key not in failing:
            _admit(run, made, key)
    if failing and (doomed := _doomed_packs(run)):
        indexes = index_anew(run, doomed, opened)
        more = Layers({key: scratch_version(key, body) for key, body in indexes.items()}, doomed, trusted)
        still = failing_among(failing, lambda keys: is_complete(run, more, keys, opened, indexes))
        if len(still) < len(failing):
            for key in doomed:
                made.taken_back[key] = run.fold.records[key]
                _admit(run, made, key, reason=TAKEN_BACK)
                run.recorder.record("object.taken_back", key=key)
            _admit_ours(run, made, indexes)
        for key in (key for key in failing if key not in still):
            _admit(run, made, key)
        failing = still
    for key in failing:
        _tell_incomplete(run, key)
        if key not in waiting:
            made.changes[key] = _record(run, key, State.INCOMPLETE, made)


def _waiting(run: Run, made: Admission) -> list[str]:
    """Return the snapshots that were incomplete before, where what they lack may have come since; of the others tell again."""
    waiting = [key for key, _ in run.fold.records.select(state=State.INCOMPLETE) if key in run.standing]
    if run.has_healed or any(True for kind in ("data/", "index/") for _ in made.changes.select(kind, State.ADMITTED)):
        return waiting
    for key in waiting:
        _tell_incomplete(run, key)
    return []


def _evict_unread(run: Run, made: Admission, failing: list[str], opened: Opened) -> frozenset[str]:
    """Evict what restic can not even read of these, and return it."""
    unread = unread_among(run, failing, opened)
    for key in unread:
        _condemn(run, made, Kind.GARBAGE, key, "restic can not read it: while it is there, no host can back up")
        del made.snapshots[key]
    return unread


def _tell_incomplete(run: Run, key: str) -> None:
    detail = f"seen {to_minute(run.standing[key].first_seen)}"
    run.findings.append(Finding(Kind.INCOMPLETE, key, detail, run.standing[key].version.version_id))
    run.recorder.record("snapshot.incomplete", key=key)


def _doomed_packs(run: Run) -> dict[str, ObjectVersion]:
    """Return the doomed packs of which the bucket still has a true version, marked ones included."""
    found: dict[str, ObjectVersion] = {}
    for key, record in run.fold.records.select(f"{FileType.PACK.value}/", State.DOOMED):
        history = run.histories.get(key)
        if history is None or record.reason.startswith(ADOPTED):
            continue
        true = _true_version(run, history, record)
        if true is not None:
            found[key] = true
            run.standing.setdefault(key, Truth(true, record.first_seen))
    return found


def _true_version(run: Run, history: KeyHistory, record: Record) -> ObjectVersion | None:
    """Return a version that holds a doomed file's true bytes: the recorded one, or, where that has expired, one that was put back since."""
    same = [version for version in history.contents() if version.size == record.size or version.version_id == record.version]
    recorded = next((version for version in same if version.version_id == record.version), None)
    if recorded is not None:
        return recorded
    return next((version for version in same[:MOST_LOOKS] if run.looks(version).digest == short(history.key)), None)


def _adopt_hidden(run: Run, hidden: Mapping[str, Truth], opened: Opened, made: Admission) -> None:
    """First contact: take hidden snapshots that are whole without hidden packs, as suspects; doom the rest, until a person decides.

    Where another ledger was here before, most of them are what it had let go: all stay as they are.
    """
    sound: dict[str, files.SnapshotFile] = {}
    for key, truth in hidden.items():
        if _kind(key) is FileType.SNAPSHOT and run.may_mark:
            with suppress(FormatError):
                sound[key] = read_snapshot(run, truth.version, opened)
    trusted = Layers(run.base(opened), made.versions(run, FileType.PACK, FileType.INDEX))
    for key in hidden:
        run.standing[key] = hidden[key]
    failing = failing_among(list(sound), lambda keys: is_complete(run, trusted, keys, opened))
    made.snapshots |= sound
    for key in sound:
        if key not in failing:
            made.changes[key] = replace(_record(run, key, State.ADMITTED, made), suspect=HIDDEN)
    reason = ADOPTED if failing or not run.may_mark else f"{ADOPTED}, nothing needs it"
    for key in hidden:
        if key not in made.changes and _kind(key) in (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT, FileType.KEY):
            made.changes[key] = _record(run, key, State.DOOMED, made, reason)
            del run.standing[key]
    if failing:
        newest = max(hidden[key].version.last_modified for key in failing)
        run.findings.append(
            Finding(Kind.HIDDEN_BEFORE, f"{len(failing)} snapshots", ", ".join(short(key) for key in sorted(failing)), str(newest))
        )


def _admit(run: Run, made: Admission, key: str, reason: str = "", *, trees: bool = False) -> None:
    record = _record(run, key, State.ADMITTED, made, reason)
    made.changes[key] = replace(record, trees=trees or record.trees, unread=reason == TAKEN_BACK)
    run.recorder.record("object.admitted", key=key)


def _admit_ours(run: Run, made: Admission, indexes: Mapping[str, bytes]) -> None:
    """Put indexes that restic made for us, each named in the state store before, and admit them."""
    announce = run.state.announce(run.run_id)
    for key, body in indexes.items():
        announce(RepositoryFile(FileType.INDEX, short(key)))
        version = run.store.put(key, body)
        run.put_on_top(version)
        run.standing[key] = Truth(version, version.last_modified)
        made.changes[key] = Record(State.ADMITTED, version.version_id, version.size, version.last_modified, run.now, ours=True)


def _evict(run: Run, made: Admission, key: str, why: str) -> None:
    current = run.histories[key].current
    made.changes[key] = Record(State.EVICTED, "", current.size, current.last_modified, run.now, why)
    run.standing.pop(key, None)
    run.recorder.record("object.evicted", key=key, why=why)


def _record(run: Run, key: str, state: State, made: Admission, reason: str = "") -> Record:
    truth = run.standing[key]
    first_seen = truth.first_seen
    # A repository that was copied from another bucket is older than its objects. But no store saw an object before 1970.
    if run.fold.is_first_contact and (snapshot := made.snapshots.get(key)) is not None and snapshot.time >= EPOCH:
        first_seen = min(first_seen, snapshot.time)
    suspect, trees = "", False
    if (before := run.fold.records.get(key)) is not None:
        first_seen, suspect, trees = before.first_seen, before.suspect, before.trees
    return Record(state, truth.version.version_id, truth.version.size, first_seen, run.now, reason, suspect=suspect, trees=trees)


def _kind(key: str) -> FileType:
    file = parse_key(key)
    if file is None:
        raise ValueError(key)
    return file.type
