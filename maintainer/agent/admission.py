"""Admission: what is new is verified before anything relies on it, and what can not be is evicted, or waits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from maintainer.agent.run import Opened, Run, short
from maintainer.core.entries import ADOPTED, Record, State
from maintainer.core.findings import Finding, Kind
from maintainer.core.repofiles import MAXIMA, FileType, RepositoryFile, parse_key
from maintainer.core.revert import RevertPlan, Truth
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from maintainer.edges import restic
from maintainer.edges.viewserver import Permissions, scratch_version
from maintainer.format import files
from maintainer.format.crypto import FormatError

MOST_NEW_KEYS = 10
HIDDEN = "it was hidden before first contact"


@dataclass
class Admission:
    """What admission came to. `changes` goes into the ledger; `taken_back` remembers the doom that was lifted, by key."""

    changes: dict[str, Record] = field(default_factory=dict)
    taken_back: dict[str, Record] = field(default_factory=dict)
    snapshots: dict[str, files.SnapshotFile] = field(default_factory=dict)

    def versions(self, run: Run, *kinds: FileType) -> dict[str, ObjectVersion]:
        """Return what it admitted of these kinds."""
        return {
            key: run.standing[key].version for key, record in self.changes.items() if record.state is State.ADMITTED and _kind(key) in kinds
        }


def admit(run: Run, plan: RevertPlan, opened: Opened, uncommitted: Mapping[str, RepositoryFile]) -> Admission:
    """Decide over everything new. `uncommitted` is what runs of ours put that never committed: it stays out of every view."""
    made = Admission()
    for key, why in plan.evict.items():
        _evict(run, made, key, why)
    new = [key for key in plan.new if key not in uncommitted]
    parsed = _parse_small(run, new, opened, made)
    _admit_keys(run, [key for key in new if _kind(key) is FileType.KEY], made)
    for key in new:
        if _kind(key) is FileType.PACK:
            if run.standing[key].version.size > MAXIMA[FileType.PACK]:
                _evict(run, made, key, "it is larger than any pack of restic")
            else:
                _admit(run, made, key)
    _admit_config(run, opened, made)
    _admit_indexes(run, parsed, opened, made)
    _prove_snapshots(run, [key for key in parsed if _kind(key) is FileType.SNAPSHOT], opened, made)
    if plan.hidden:
        _adopt_hidden(run, plan.hidden, opened, made)
    return made


def _parse_small(run: Run, new: list[str], opened: Opened, made: Admission) -> dict[str, files.IndexFile | files.SnapshotFile]:
    """Open and parse new indexes and snapshots; garbage under its own true hash is evicted."""
    wanted = [key for key in new if _kind(key) in (FileType.INDEX, FileType.SNAPSHOT)]
    parsed: dict[str, files.IndexFile | files.SnapshotFile] = {}
    with ThreadPoolExecutor(8, thread_name_prefix="admit") as pool:
        for key, result in pool.map(lambda key: (key, parse(run, run.standing[key].version, opened)), wanted):
            if isinstance(result, str):
                run.findings.append(Finding(Kind.GARBAGE, key, result, run.standing[key].version.version_id))
                _evict(run, made, key, result)
            else:
                parsed[key] = result
                if isinstance(result, files.SnapshotFile):
                    made.snapshots[key] = result
    return parsed


def parse(run: Run, version: ObjectVersion, opened: Opened) -> files.IndexFile | files.SnapshotFile | str:
    """Open one index or snapshot, or say why it is none."""
    kind = _kind(version.key)
    try:
        body = run.kept.read(version, MAXIMA[kind])
        return files.parse_index(opened.master, body) if kind is FileType.INDEX else files.parse_snapshot(opened.master, body)
    except FormatError as error:
        return str(error)
    except ValueError:
        return f"it is larger than {MAXIMA[kind]} bytes"


def _admit_keys(run: Run, new: list[str], made: Admission) -> None:
    for number, key in enumerate(sorted(new)):
        version = run.standing[key].version
        why = "more new keys than anybody needs" if number >= MOST_NEW_KEYS else ""
        try:
            if not files.parse_key(run.store.read(version, MAXIMA[FileType.KEY])).is_affordable:
                why = "opening it would cost more than the limit"
        except ValueError as error:
            why = f"it is no key file: {error}"
        if why:
            run.findings.append(Finding(Kind.GARBAGE, key, why, version.version_id))
            _evict(run, made, key, why)
        elif key in run.fold.accepted_keys:
            _admit(run, made, key)
        else:
            run.findings.append(Finding(Kind.NEW_KEY, key, "", version.version_id))


def _admit_config(run: Run, opened: Opened, made: Admission) -> None:
    """Pin the changed config that a person accepted (`restic migrate` makes one), if it authenticates; revert then puts it on top."""
    before, wanted = run.fold.records["config"], run.fold.accepted_config
    if not wanted or before.reason == f"accepted {wanted}":
        return
    version = next((one for one in run.histories["config"].contents if one.version_id == wanted), None)
    try:
        if version is None:
            raise FormatError("it is gone")
        body = run.store.read(version, MAXIMA[FileType.CONFIG])
        files.parse_config(opened.master, body)
    except ValueError as error:
        run.findings.append(Finding(Kind.GARBAGE, "config", f"the version that was accepted can not be taken: {error}", wanted))
        return
    digest = hashlib.sha256(body).hexdigest()
    made.changes["config"] = replace(before, version=wanted, size=version.size, since=run.now, reason=f"accepted {wanted}", digest=digest)


def _admit_indexes(run: Run, parsed: Mapping[str, object], opened: Opened, made: Admission) -> None:
    """Believe an index unless it names packs that are doomed or evicted: then it is evicted, and the rest of it made anew."""
    rebuild: set[str] = set()
    for key, index in parsed.items():
        if not isinstance(index, files.IndexFile):
            continue
        named = {RepositoryFile(FileType.PACK, pack).key() for pack in index.packs}
        condemned = {pack for pack in named if (record := run.fold.records.get(pack)) and record.state in (State.DOOMED, State.EVICTED)}
        if not condemned:
            _admit(run, made, key)
            continue
        run.findings.append(Finding(Kind.UNTRUSTED_INDEX, key, f"{len(condemned)} packs", run.standing[key].version.version_id))
        _evict(run, made, key, "it names packs that are doomed or evicted")
        for pack in condemned:
            if (record := run.fold.records[pack]).state is State.DOOMED:
                made.changes[pack] = replace(record, since=run.now, indexes=tuple(sorted({*record.indexes, short(key)})))
        rebuild |= named - condemned
    packs = {**run.admitted(FileType.PACK), **made.versions(run, FileType.PACK)}
    wanted = {key: packs[key] for key in rebuild if key in packs}
    if wanted:
        _admit_ours(run, made, index_anew(run, wanted, opened))


def index_anew(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened) -> dict[str, bytes]:
    """Let restic index these packs by what they hold; return the indexes that it made, by key. Nothing is put yet."""
    indexes: dict[str, bytes] = {}
    with run.serve(View({**run.base(opened), **packs}), Permissions(write=True), indexes) as server:
        run.demand(server, opened, restic.repair_index_argv())
    return indexes


def _prove_snapshots(run: Run, new: list[str], opened: Opened, made: Admission) -> None:
    """Prove new snapshots, and those that were incomplete before, on what is admitted; then on what was doomed."""
    waiting = [key for key in run.fold.having(State.INCOMPLETE) if key in run.standing]
    candidates = [*new, *waiting]
    trusted = {
        **run.base(opened),
        **run.admitted(FileType.PACK, FileType.INDEX),
        **made.versions(run, FileType.PACK, FileType.INDEX),
    }
    failing = _failing(candidates, lambda keys: _is_complete(run, trusted, keys, opened))
    for key in candidates:
        if key not in failing:
            _admit(run, made, key)
    if failing and (doomed := _doomed_packs(run)):
        indexes = index_anew(run, doomed, opened)
        more = {**trusted, **doomed, **{key: scratch_version(key, body) for key, body in indexes.items()}}
        still = _failing(failing, lambda keys: _is_complete(run, more, keys, opened, indexes))
        if len(still) < len(failing):
            for key in doomed:
                made.taken_back[key] = run.fold.records[key]
                _admit(run, made, key, reason="taken back")
                run.recorder.record("object.taken_back", key=key)
            _admit_ours(run, made, indexes)
        for key in (key for key in failing if key not in still):
            _admit(run, made, key)
        failing = still
    for key in failing:
        detail = f"seen {run.standing[key].first_seen:%Y-%m-%d %H:%M}"
        run.findings.append(Finding(Kind.INCOMPLETE, key, detail, run.standing[key].version.version_id))
        run.recorder.record("snapshot.incomplete", key=key)
        if key not in waiting:
            made.changes[key] = _record(run, key, State.INCOMPLETE, made)


def _doomed_packs(run: Run) -> dict[str, ObjectVersion]:
    """Return the doomed packs of which the bucket still has a true version, marked ones included."""
    found: dict[str, ObjectVersion] = {}
    for key, record in run.fold.having(State.DOOMED).items():
        history = run.histories.get(key)
        if history is None or _kind(key) is not FileType.PACK or record.reason.startswith(ADOPTED):
            continue
        true = next((version for version in history.contents if version.version_id == record.version), None)
        if true is not None:
            found[key] = true
            run.standing.setdefault(key, Truth(true, record.first_seen))
    return found


def _is_complete(
    run: Run, shown: Mapping[str, ObjectVersion], snapshots: Iterable[str], opened: Opened, scratch: dict[str, bytes] | None = None
) -> bool:
    view = View({**shown, **{key: run.standing[key].version for key in snapshots}})
    with run.serve(view, Permissions(), scratch) as server:
        # A snapshot that crashes restic is none that could be restored: the others must not wait for it.
        return run.ask(server, opened, restic.check_argv(read_data=False)).status == 0


def _failing(keys: list[str], passes: Callable[[list[str]], bool]) -> list[str]:
    """Return those that do not pass, by halving: one bad among a thousand costs twenty checks."""
    if not keys or passes(keys):
        return []
    if len(keys) == 1:
        return keys
    half = len(keys) // 2
    return [*_failing(keys[:half], passes), *_failing(keys[half:], passes)]


def _adopt_hidden(run: Run, hidden: Mapping[str, Truth], opened: Opened, made: Admission) -> None:
    """First contact: take hidden snapshots that are whole without hidden packs, as suspects; doom the rest, until a person decides."""
    parsed = {key: parse(run, truth.version, opened) for key, truth in hidden.items() if _kind(key) is FileType.SNAPSHOT}
    sound = {key: one for key, one in parsed.items() if isinstance(one, files.SnapshotFile)}
    trusted = {**run.base(opened), **made.versions(run, FileType.PACK, FileType.INDEX)}
    for key in hidden:
        run.standing[key] = hidden[key]
    failing = _failing(list(sound), lambda keys: _is_complete(run, trusted, keys, opened))
    made.snapshots |= sound
    for key in sound:
        if key not in failing:
            made.changes[key] = replace(_record(run, key, State.ADMITTED, made), suspect=HIDDEN)
    reason = ADOPTED if failing else f"{ADOPTED}, nothing needs it"
    for key in hidden:
        if key not in made.changes and _kind(key) in (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT):
            made.changes[key] = _record(run, key, State.DOOMED, made, reason)
            del run.standing[key]
    if failing:
        newest = max(hidden[key].version.last_modified for key in failing)
        run.findings.append(
            Finding(Kind.HIDDEN_BEFORE, f"{len(failing)} snapshots", ", ".join(short(key) for key in sorted(failing)), str(newest))
        )


def _admit(run: Run, made: Admission, key: str, reason: str = "") -> None:
    made.changes[key] = _record(run, key, State.ADMITTED, made, reason)
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
    if run.fold.is_first_contact and (snapshot := made.snapshots.get(key)) is not None:
        first_seen = min(first_seen, snapshot.time)
    suspect = ""
    if (before := run.fold.records.get(key)) is not None:
        first_seen, suspect = before.first_seen, before.suspect
    return Record(state, truth.version.version_id, truth.version.size, first_seen, run.now, reason, suspect=suspect)


def _kind(key: str) -> FileType:
    file = parse_key(key)
    if file is None:
        raise ValueError(key)
    return file.type
