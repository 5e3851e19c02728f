"""New snapshots: whole ones are admitted, and others wait until what they lack has come."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from maintainer.agent.admitting import TAKEN_BACK, Admission
from maintainer.agent.proving import failing_among, index_anew, is_complete, unread_among
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import read_snapshot
from maintainer.agent.trees import Trees
from maintainer.core.findings import Finding, Kind
from maintainer.core.moments import to_minute
from maintainer.core.records import ADOPTED, Record, State
from maintainer.core.repofiles import FileType
from maintainer.core.revert import Truth
from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.core.view import Layers
from maintainer.edges.viewserver import scratch_version
from maintainer.format.boundary import FormatError
from maintainer.format.files import SnapshotFile

MOST_LOOKS = 10
"""Versions of a doomed file that are hashed: whoever puts true bytes back may put others of the same length over them."""
ASKED_AGAIN = 4
"""Incomplete snapshots of which nothing is known to be lacking, and that restic is asked about again in a night, in turn."""
_ID = re.compile("[0-9a-fA-F]{64}")
LACKS = "lacks blob "
SHOWN = 8
"""How many digits of a blob's id are shown."""
UNEXPLAINED = "restic does not find it whole"


def prove_snapshots(run: Run, new: list[str], opened: Opened, made: Admission) -> None:
    """Prove new snapshots, and those whose lacking blob has come, on what is admitted; then on what was doomed."""
    waiting = [key for key, _ in run.fold.records.select(state=State.INCOMPLETE) if key in run.standing]
    again = _asked_again(run, waiting, opened, made)
    candidates = [*new, *again]
    roots = _roots(run, candidates, opened, made)
    kinds = (FileType.PACK, FileType.INDEX)
    trusted = Layers(run.base(opened), made.versions(*kinds), run.admitted(*kinds))
    failing = find_failing(run, candidates, roots, Provable(trusted), opened)
    for key in _evict_unread(run, made, [key for key in failing if key not in again], opened):
        candidates.remove(key)
        del failing[key]
    for key in candidates:
        if key not in failing:
            made.admit(key)
    if failing and (doomed := _doomed_packs(run)):
        indexes = index_anew(run, doomed, opened)
        more = Layers({key: scratch_version(key, body) for key, body in indexes.items()}, doomed, trusted)
        still = find_failing(run, list(failing), roots, Provable(more, indexes), opened, likely=True)
        if len(still) < len(failing):
            for key in doomed:
                made.taken_back[key] = run.fold.records[key]
                made.admit(key, TAKEN_BACK)
                run.recorder.record("object.taken_back", key=key)
            made.admit_ours(indexes)
        for key in failing.keys() - still.keys():
            made.admit(key)
        failing = still
    for key, lacks in failing.items():
        made.changes[key] = made.record(key, State.INCOMPLETE, lacks)
    for key in (*(key for key in waiting if key not in again), *failing):
        _tell_incomplete(run, key, made.changes.get(key, run.fold.records.get(key)))


@dataclass(frozen=True, slots=True)
class Provable:
    """Packs and indexes to prove snapshots on; those indexes that are in no store are in `scratch`."""

    view: Layers
    scratch: dict[str, bytes] = field(default_factory=dict)


def find_failing(
    run: Run, snapshots: list[str], roots: Mapping[str, bytes], shown: Provable, opened: Opened, *, likely: bool = False
) -> dict[str, str]:
    """Return which snapshots are not whole by what is shown, and what each lacks, where that is known.

    restic is asked about all at once: as a rule they are whole. Where they are not, or where that is `likely`, their trees are looked at:
    what surely lacks something is not left to restic, whose word costs a check for every halving.
    """
    if not snapshots:
        return {}
    if not likely and is_complete(run, shown.view, snapshots, opened, shown.scratch or None):
        return {}
    lacking = Trees(run, opened, shown.view, shown.scratch).lacking({roots[key] for key in snapshots if key in roots})
    failing = {key: f"{LACKS}{lacking[roots[key]].hex()}" for key in snapshots if roots.get(key) in lacking}
    rest = [key for key in snapshots if key not in failing]
    failing |= dict.fromkeys(
        failing_among(rest, lambda keys: is_complete(run, shown.view, keys, opened, shown.scratch or None)), UNEXPLAINED
    )
    return failing


def _roots(run: Run, snapshots: Iterable[str], opened: Opened, made: Admission) -> dict[str, bytes]:
    """Return the trees of snapshots, by their keys."""
    found: dict[str, bytes] = {}
    for key in snapshots:
        with suppress(FormatError):
            file = made.snapshots.get(key) or read_snapshot(run, run.standing[key].version, opened)
            found |= roots_of({key: file})
    return found


def roots_of(snapshots: Mapping[str, SnapshotFile]) -> dict[str, bytes]:
    """Return the trees of these snapshots, by their keys; of those that name none, nothing: restic is asked about them."""
    return {key: bytes.fromhex(file.tree) for key, file in snapshots.items() if _ID.fullmatch(file.tree)}


def _asked_again(run: Run, waiting: list[str], opened: Opened, made: Admission) -> list[str]:
    """Return the snapshots that were incomplete before, and may be whole by now: what they lacked has come, or is not known."""
    has_come = any(True for kind in ("data/", "index/") for _ in made.changes.select(kind, State.ADMITTED))
    if not waiting or not (has_come or run.has_healed):
        return []
    records = run.fold.records
    lacks = {key: bytes.fromhex(reason.removeprefix(LACKS)) for key in waiting if (reason := records[key].reason).startswith(LACKS)}
    if any(version.version_id != records[key].version for key, version in _doomed_packs(run).items()):
        return waiting  # a doomed pack that had gone was put back: what is in it, its own header says alone
    new = made.versions(FileType.PACK, FileType.INDEX)
    looked_at = Layers(new, run.admitted(FileType.PACK, *((FileType.INDEX,) if run.has_healed else ())))
    has_arrived = Trees(run, opened, looked_at).present(lacks.values())
    unexplained = sorted((key for key in waiting if records[key].reason == UNEXPLAINED), key=lambda key: (records[key].since, key))
    asked = {*unexplained[:ASKED_AGAIN], *(key for key in waiting if not records[key].reason)}
    return [key for key in waiting if key in asked or lacks.get(key) in has_arrived]


def _evict_unread(run: Run, made: Admission, failing: list[str], opened: Opened) -> frozenset[str]:
    """Evict what restic can not even read of these, and return it."""
    unread = unread_among(run, failing, opened)
    for key in unread:
        made.condemn(Kind.GARBAGE, key, "restic can not read it: while it is there, no host can back up")
        del made.snapshots[key]
    return unread


def _tell_incomplete(run: Run, key: str, record: Record | None) -> None:
    lacks = record.reason if record is not None else ""
    seen = f"seen {to_minute(run.standing[key].first_seen)}"
    what = f"{lacks[: len(LACKS) + SHOWN]}, {seen}" if lacks.startswith(LACKS) else seen
    run.findings.append(Finding(Kind.INCOMPLETE, key, what, run.standing[key].version.version_id))
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
