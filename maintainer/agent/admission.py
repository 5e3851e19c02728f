"""Admission: what is new is verified before anything relies on it, and what can not be is evicted, or waits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import SystemRandom

from maintainer.agent.admitting import Admission, kind_of
from maintainer.agent.cache import cache_for
from maintainer.agent.damage import LONGEST_LOOSE, settle_damage, was_there
from maintainer.agent.formats import MOST_CONFIGS, UNKNOWN
from maintainer.agent.proving import Proof, index_anew, prove_packs
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import open_index, read_contents, read_small, read_snapshot
from maintainer.agent.strangers import admit_keys
from maintainer.agent.unopened import settle_unopened
from maintainer.agent.wholeness import Provable, find_failing, prove_snapshots, roots_of
from maintainer.core.admission import Blob, Doubt, Strange, contents, has_trees, judge_indexes, name_of
from maintainer.core.amounts import counted
from maintainer.core.findings import Finding, Kind
from maintainer.core.records import ADOPTED, State
from maintainer.core.repofiles import MAXIMA, FileType, RepositoryFile
from maintainer.core.retention import came_late
from maintainer.core.revert import NOTHING_TRUE, RevertPlan, Truth
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Layers
from maintainer.edges.inorder import in_order
from maintainer.format import files
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import StrangeError, TooLargeError, read_index, read_loosely

READERS = 8
MANY_PACKS = 10_000
"""Packs of an index: restic ends one at 50,000 blobs, and a pack has hundreds as a rule."""
CLAIMS_A_PACK, LEAST_CLAIMS = 2, 100_000
"""What new indexes together may say and be held in memory: of each object that is there so often, and so much whatever is there."""
COMPARED = 100
"""Packs of an index that are looked into, drawn at random, to tell whether what it says of them is a lie or a part."""
FOREIGN = "it is in another program's form"
HIDDEN = "it was hidden before first contact"


def admit(run: Run, plan: RevertPlan, opened: Opened, uncommitted: Mapping[str, RepositoryFile]) -> Admission:
    """Decide over everything new, but for what is `uncommitted`."""
    made = Admission(run, uncommitted)
    for key, why in plan.evict.items():
        made.evict(key, why)
    new = [key for key in plan.new if key not in uncommitted]
    if opened.format == UNKNOWN and new:
        told = f"of its versions {MOST_CONFIGS} were read, and a migration may be among the others: what is new waits ({len(new)} files)"
        run.findings.append(Finding(Kind.UNDECIDED, "config", told, run.histories["config"].current.version_id))
        new = []
    small = _open_small(run, new, opened, made)
    made.snapshots |= small.snapshots
    admit_keys(run, [key for key in new if kind_of(key) is FileType.KEY], opened, made)
    settle_damage(run, dict.fromkeys(plan.damaged, NOTHING_TRUE), opened, made)
    _admit_indexes(run, small, new, opened, made)
    _admit_config(run, opened, made)
    run.cache = cache_for(run, made.changes)
    prove_snapshots(run, list(small.snapshots), opened, made)
    if plan.hidden:
        _adopt_hidden(run, plan.hidden, opened, made)
    if run.fold.is_first_contact:
        _doubt_dates(run, made)
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
    strange: dict[str, Strange] = field(default_factory=dict)
    too_large: set[str] = field(default_factory=set)
    snapshots: dict[str, files.SnapshotFile] = field(default_factory=dict)

    def claimed(self, key: str) -> Iterable[str]:
        """Return the packs that an index names, in whatever form it is."""
        return self.claims.get(key) or (self.strange.get(key, ("", None))[1] or ())


def _open_small(run: Run, new: list[str], opened: Opened, made: Admission) -> _Small:
    """Open and read new indexes and snapshots; garbage under its own true hash is evicted."""
    small = _Small(_Claims(run, opened))

    def read(key: str) -> dict[str, bytes] | files.SnapshotFile | FormatError | Strange | None:
        version = run.standing[key].version
        try:
            if kind_of(key) is FileType.SNAPSHOT:
                return read_snapshot(run, version, opened)
            claim = read_contents(run, version, opened)
            return claim if len(claim) <= MANY_PACKS else None  # what others wait for must not wait in memory
        except TooLargeError as error:
            small.too_large.add(key)
            return str(error), None
        except StrangeError as error:
            return str(error), _read_loosely(run, version, opened)
        except FormatError as error:
            return error

    wanted = [key for key in new if kind_of(key) in (FileType.INDEX, FileType.SNAPSHOT)]
    failed: dict[str, FormatError] = {}
    for key, result in in_order(read, wanted, READERS, "admit"):
        match result:
            case (str(), _):
                small.strange[key] = result
            case FormatError():
                failed[key] = result
            case files.SnapshotFile():
                small.snapshots[key] = result
            case _:
                small.claims.take(key, result)
    settle_unopened(run, failed, [*small.snapshots, *small.claims, *small.strange], opened, made)
    return small


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


def _admit_packs(run: Run, new: list[str], named: AbstractSet[str], opened: Opened, made: Admission) -> Proof:
    """Prove new packs by their own headers, and those that no index of ours has named so far; admit those that are new and sound."""
    packs = {key: run.standing[key].version for key in new if kind_of(key) is FileType.PACK}
    admitted = run.admitted(FileType.PACK)
    unindexed = {key: admitted[key] for key in named if key in admitted}
    wanted = {**packs, **unindexed}
    proof = prove_packs(run, wanted, opened)
    run.read.update((key, version.version_id) for key, version in wanted.items() if short(key) in proof.contents)
    for key in packs.keys() - proof.unsound.keys():
        made.admit(key, trees=has_trees(proof.contents[short(key)]))
    return Proof(proof.contents, {key: why for key, why in proof.unsound.items() if key in packs})


def _admit_indexes(run: Run, small: _Small, new: list[str], opened: Opened, made: Admission) -> None:
    """Believe an index that says of every pack what the pack says of itself; another is evicted, and one of ours put in its place."""
    before = run.admitted(FileType.PACK)
    # A strange one may name any pack: all that no index of ours names are looked into.
    named = small.claims.named | ({short(key) for key in before} if small.strange else set())
    known = _known_contents(run, {pack for pack in named if RepositoryFile(FileType.PACK, pack).key() in before}, opened)
    proved = _admit_packs(run, new, {RepositoryFile(FileType.PACK, pack).key() for pack in named - known.keys()}, opened, made)
    settle_damage(run, proved.unsound, opened, made)
    truth = {**known, **proved.contents}
    verdict = judge_indexes(small.claims, small.strange, truth, _condemned(run, made, named), known)
    for key in verdict.trusted:
        made.admit(key)
    for key in (*verdict.doubted, *verdict.reviving):
        _keep_longer(run, small.claimed(key), made)
    for key, doubt in verdict.doubted.items():
        kind, why = _name_of(made, key, replace(doubt, is_too_large=key in small.too_large), small, opened)
        stays = kind in (Kind.UNREADABLE_INDEX, Kind.INDEX_OF_DAMAGED)  # of packs that were there before us: hosts go on by it
        if stays and (doomed := _doomed_among(run, small.claimed(key))):
            made.condemn(Kind.UNTRUSTED_INDEX, key, counted(doomed, "pack"))
        elif stays:
            run.findings.append(Finding(kind, key, why, run.standing[key].version.version_id))
        elif kind is Kind.FOREIGN_INDEX:
            made.evict(key, FOREIGN)
        else:
            made.condemn(kind, key, why)
    _tell_of_foreign(run, made)
    for key, revived in verdict.reviving.items():
        made.condemn(Kind.UNTRUSTED_INDEX, key, f"{len(revived)} packs")
    packs = Layers(made.versions(FileType.PACK), run.admitted(FileType.PACK))
    wanted = {key: packs[key] for key in sorted(RepositoryFile(FileType.PACK, pack).key() for pack in verdict.reindex) if key in packs}
    if wanted:
        made.admit_ours(index_anew(run, wanted, opened))


def _name_of(made: Admission, key: str, doubt: Doubt, small: _Small, opened: Opened) -> tuple[Kind, str]:
    """Return what a doubted index is, and why. Of what it says wrongly of many packs some are looked into."""
    run = made.run
    packs = Layers(made.versions(FileType.PACK), run.admitted(FileType.PACK))
    chosen = SystemRandom().sample(sorted(doubt.wrong), min(COMPARED, len(doubt.wrong)))
    versions = {of: packs[of] for of in (RepositoryFile(FileType.PACK, pack).key() for pack in chosen) if of in packs}
    is_part = len(versions) == len(chosen) and _says_a_part(run, key, frozenset(chosen), versions, opened)
    # Later ones are no excuse: whoever puts a pack that nobody can read may claim of it what they like.
    is_older = run.fold.is_first_contact or was_there(run, run.histories[key])
    damaged = doubt.absent & made.damaged if is_older else frozenset()
    unreadable = sum(_is_unreadable(run, pack) for pack in doubt.absent - damaged) if is_older else 0
    is_legible = key not in small.strange or small.strange[key][1] is not None
    doubt = replace(doubt, damaged=damaged)
    return name_of(doubt, is_part=is_part, unreadable=unreadable, is_legible=is_legible, is_older=is_older)


def _says_a_part(run: Run, key: str, packs: AbstractSet[str], versions: Mapping[str, ObjectVersion], opened: Opened) -> bool:
    """Tell whether all that an index says of these packs is so, by their own headers."""
    if not packs:
        return False
    truth: dict[str, set[Blob]] = {}
    for ours in index_anew(run, versions, opened).values():
        for pack, blobs in read_index(opened.master, ours):
            truth.setdefault(pack, set()).update(blobs)

    def are_true(said: Iterable[tuple[str, tuple[Blob, ...]]]) -> bool:
        return all(pack not in packs or truth.get(pack, set()).issuperset(blobs) for pack, blobs in said)

    version = run.standing[key].version
    try:
        with open_index(run, version) as body, suppress(StrangeError):
            return are_true(read_index(opened.master, body))
        return are_true(read_loosely(opened.master, read_small(run, version)).items())
    except FormatError:
        return False


def _is_unreadable(run: Run, pack: str) -> bool:
    history = run.histories.get(RepositoryFile(FileType.PACK, pack).key())
    if history is None or history.current.is_marker or not was_there(run, history):
        return False
    return run.looks(history.current).digest is None


def _tell_of_foreign(run: Run, made: Admission) -> None:
    """Tell that another program writes here, too: once, and not of each of its indexes."""
    records = (one for of in (run.fold.records, made.changes) for one in of.select(f"{FileType.INDEX.value}/", State.EVICTED))
    if any(record.reason == FOREIGN for _, record in records):
        run.findings.append(Finding(Kind.FOREIGN_INDEX, f"{FileType.INDEX.value}/", "another program than restic writes here", FOREIGN))


def _read_loosely(run: Run, version: ObjectVersion, opened: Opened) -> dict[str, bytes] | None:
    """Return what an index claims that is not in restic's own form; None where that is not clear, or too much."""
    with suppress(FormatError):
        if version.size > LONGEST_LOOSE:
            return None
        claim = contents(read_loosely(opened.master, read_small(run, version)).items())
        return claim if len(claim) <= MANY_PACKS else None
    return None


def _condemned(run: Run, made: Admission, packs: AbstractSet[str]) -> set[str]:
    """Return those of these packs that no index may name: doomed, evicted, or of a run that never committed."""
    keys = {pack: RepositoryFile(FileType.PACK, pack).key() for pack in packs}
    gone = (State.DOOMED, State.EVICTED)
    return {pack for pack, key in keys.items() if key in made.uncommitted or run.fold.records.state_of(key) in gone}


def _doomed_among(run: Run, packs: Iterable[str]) -> int:
    """Count the packs that a run of ours doomed: no index may go on naming those, or a backup would rely on what is gone one day."""
    records = (run.fold.records.get(RepositoryFile(FileType.PACK, pack).key()) for pack in packs)
    return sum(one is not None and one.state is State.DOOMED and not one.reason.startswith(ADOPTED) for one in records)


def _keep_longer(run: Run, packs: Iterable[str], made: Admission) -> None:
    """Doomed packs that an index of a host's named stay for a whole grace from now, once: a backup may have relied on it."""
    for pack in packs:
        key = RepositoryFile(FileType.PACK, pack).key()
        if (record := made.changes.get(key, run.fold.records.get(key))) is not None and record.state is State.DOOMED and not record.again:
            made.changes[key] = replace(record, again=run.now)


def _known_contents(run: Run, packs: AbstractSet[str], opened: Opened) -> dict[str, bytes]:
    """Return what the admitted indexes, which are proved, say of these packs."""
    found: dict[str, bytes] = {}
    for _, version in run.admitted(FileType.INDEX).below() if packs else ():
        found |= {pack: holds for pack, holds in read_contents(run, version, opened).items() if pack in packs}
    return found


def _adopt_hidden(run: Run, hidden: Mapping[str, Truth], opened: Opened, made: Admission) -> None:
    """First contact: take hidden snapshots that are whole without hidden packs, as suspects; doom the rest, until a person decides.

    Where another ledger was here before, most of them are what it had let go: all stay as they are.
    """
    sound: dict[str, files.SnapshotFile] = {}
    for key, truth in hidden.items():
        if kind_of(key) is FileType.SNAPSHOT and run.may_mark:
            with suppress(FormatError):
                sound[key] = read_snapshot(run, truth.version, opened)
    trusted = Layers(run.base(opened), made.versions(FileType.PACK, FileType.INDEX))
    for key in hidden:
        run.standing[key] = hidden[key]
    failing = find_failing(run, list(sound), roots_of(sound), Provable(trusted), opened)
    made.snapshots |= sound
    for key in sound:
        if key not in failing:
            made.changes[key] = replace(made.record(key, State.ADMITTED), suspect=HIDDEN)
    reason = ADOPTED if failing or not run.may_mark else f"{ADOPTED}, nothing needs it"
    for key in hidden:
        if key not in made.changes and kind_of(key) in (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT, FileType.KEY):
            made.changes[key] = made.record(key, State.DOOMED, reason)
            del run.standing[key]
    # Where another ledger was here it had forgotten them; or somebody has hidden them since.
    undecided = failing.keys() if run.may_mark else {key for key in hidden if kind_of(key) is FileType.SNAPSHOT}
    if undecided:
        newest = max(hidden[key].version.last_modified for key in undecided)
        named = ", ".join(short(key) for key in sorted(undecided))
        run.findings.append(Finding(Kind.HIDDEN_BEFORE, counted(len(undecided), "snapshot"), named, str(newest)))


def _doubt_dates(run: Run, made: Admission) -> None:
    """First contact: snapshots that came long after the time that they claim, where others did not, wait for a person."""
    admitted = [key for key in made.snapshots if made.changes.state_of(key) is State.ADMITTED]
    dates = {key: (run.standing[key].first_seen, made.snapshots[key].time) for key in admitted}
    for key, why in came_late(dates, run.job.limits).items():
        record = made.changes[key]
        made.changes[key] = replace(record, suspect=record.suspect or why)
