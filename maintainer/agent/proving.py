"""Proofs by restic itself, each on a view that shows no more than what is to be proved: packs, indexes, and whole snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from maintainer.agent.run import Opened, Run, short
from maintainer.core.admission import contents
from maintainer.core.errors import StoreError
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Layers, View
from maintainer.edges import restic
from maintainer.edges.restic import Outcome
from maintainer.edges.viewserver import Permissions, ViewServer, scratch_version
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import SHORTEST, read_index

LONGEST_SPOOLED = 512 << 20
"""The largest pack that is held in memory to be judged apart from the network: four times the largest that restic makes."""

LEAST_TIME = timedelta(minutes=10)
IMPOSSIBLE = "its header names blobs that can not be in it"
SLOWEST = 1 << 20
"""Bytes a second: a proof may take its least time and so much more. A blob may be made to take hours; an honest one does not."""


@dataclass
class Proof:
    """What packs hold by their own headers, by id, and which are not sound: by key, why."""

    contents: dict[str, bytes] = field(default_factory=dict)
    unsound: dict[str, str] = field(default_factory=dict)


def prove_packs(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened) -> Proof:
    """Let restic read every byte of these packs, with an index that it makes from their headers alone.

    A pack that restic accuses is judged once more, alone and out of memory: a failing network must not condemn an honest pack.
    """
    found = _prove(run, packs, opened, {})
    for key in list(found.unsound):
        if packs[key].size <= LONGEST_SPOOLED and found.unsound[key] != IMPOSSIBLE:  # that is no failing network's doing
            body = run.store.read(packs[key], LONGEST_SPOOLED)
            again = _prove(run, {key: scratch_version(key, body)}, opened, {key: body})
            del found.unsound[key]
            found.unsound |= again.unsound
            found.contents |= again.contents
    return found


def _prove(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened, held: Mapping[str, bytes]) -> Proof:
    """Prove these packs at once; where restic dies of one, find it by halving."""
    if not packs:
        return Proof()
    scratch = dict(held)
    with run.serve(View({**run.base(opened), **packs}), Permissions(write=True), scratch) as server:
        enough = LEAST_TIME + sum(version.size for version in packs.values()) / SLOWEST * timedelta(seconds=1)
        indexed = run.ask(server, opened, restic.repair_index_argv(), time=enough)
        raise_failures(server, "admission of packs")
        try:
            impossible = _impossible(packs, opened, scratch) if indexed.status == 0 else {}
        except FormatError:  # an index of what these packs say that we can not read ourselves
            return _halved(run, packs, opened, held) if len(packs) > 1 else Proof(unsound=dict.fromkeys(packs, IMPOSSIBLE))
        if impossible:
            sound = {key: version for key, version in packs.items() if key not in impossible}
            rest = _prove(run, sound, opened, {key: body for key, body in held.items() if key not in impossible})
            return Proof(rest.contents, {**rest.unsound, **impossible})
        checked = run.ask(server, opened, restic.check_argv(read_data=True), time=enough) if indexed.status == 0 else indexed
        raise_failures(server, "admission of packs")
    if indexed.status != 0 or checked.status not in (0, 1):
        if len(packs) == 1:
            blame(run, opened, checked, restic.repair_index_argv() if indexed.status else restic.check_argv(read_data=True))
            return Proof(unsound=dict.fromkeys(packs, f"restic fails over it: {restic.last_words(checked)}"))
        return _halved(run, packs, opened, held)
    if checked.status and not restic.parse_check(checked).get("broken_packs") and len(packs) > 1:
        return _halved(run, packs, opened, held)
    return _verdict(run, packs, opened, scratch, checked)


def _verdict(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened, scratch: Mapping[str, bytes], checked: Outcome) -> Proof:
    """Return what these packs hold, and which of them a check found broken; one alone is to blame for whatever it said."""
    broken = set(restic.parse_check(checked).get("broken_packs") or ())
    proof = Proof()
    headers = _contents(opened, scratch)
    for key in packs:
        if short(key) not in headers:
            proof.unsound[key] = "its header can not be read"
        elif short(key) in broken:
            proof.unsound[key] = "it holds something else than its header says"
        elif checked.status and len(packs) == 1:
            blame(run, opened, checked, restic.check_argv(read_data=True))
            proof.unsound[key] = restic.last_words(checked)
        else:
            proof.contents[short(key)] = headers[short(key)]
    return proof


def _impossible(packs: Mapping[str, ObjectVersion], opened: Opened, scratch: Mapping[str, bytes]) -> dict[str, str]:
    """Return the packs, by key, whose headers name what no pack holds: restic indexes them, and tries for long to read them.

    FormatError where that index is none that we read.
    """
    found: dict[str, str] = {}
    for body in (body for key, body in scratch.items() if key.startswith("index/")):
        for pack, blobs in read_index(opened.master, body, shortest=0):
            key = RepositoryFile(FileType.PACK, pack).key()
            if key in packs and any(length < SHORTEST or at + length > packs[key].size for _, _, at, length, _ in blobs):
                found[key] = IMPOSSIBLE
    return found


def _halved(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened, held: Mapping[str, bytes]) -> Proof:
    ordered = list(packs.items())
    half = len(ordered) // 2
    left, right = (_prove(run, dict(part), opened, held) for part in (ordered[:half], ordered[half:]))
    return Proof({**left.contents, **right.contents}, {**left.unsound, **right.unsound})


def _contents(opened: Opened, scratch: Mapping[str, bytes]) -> dict[str, bytes]:
    return contents(found for key, body in scratch.items() if key.startswith("index/") for found in read_index(opened.master, body))


def index_anew(run: Run, packs: Mapping[str, ObjectVersion], opened: Opened) -> dict[str, bytes]:
    """Let restic index these packs by what they hold; return the indexes that it made, by key. Nothing is put yet."""
    indexes: dict[str, bytes] = {}
    with run.serve(View({**run.base(opened), **packs}), Permissions(write=True), indexes) as server:
        run.demand(server, opened, restic.repair_index_argv())
    return indexes


def is_complete(
    run: Run, shown: Mapping[str, ObjectVersion], snapshots: Iterable[str], opened: Opened, scratch: dict[str, bytes] | None = None
) -> bool:
    """Tell whether these snapshots have all that they name among what is shown."""
    view = View(Layers({key: run.standing[key].version for key in snapshots}, shown))
    with run.serve(view, Permissions(), scratch) as server:
        # A snapshot that crashes restic is none that could be restored: the others must not wait for it.
        checked = run.ask(server, opened, restic.check_argv(read_data=False))
        raise_failures(server, "admission of snapshots")
    if checked.status:
        blame(run, opened, checked, restic.check_argv(read_data=False))
    return checked.status == 0


def unread_among(run: Run, snapshots: Iterable[str], opened: Opened) -> frozenset[str]:
    """Return those of these snapshots that restic can not even read: it stops over one in looking for a backup's parent."""
    keys = frozenset(snapshots)
    if not keys:
        return keys
    view = View({**run.base(opened), **{key: run.standing[key].version for key in keys}})
    with run.serve(view, Permissions()) as server:
        listed = restic.parse_snapshots(run.demand(server, opened, restic.snapshots_argv()))
        raise_failures(server, "admission of snapshots")
    return keys - {f"{FileType.SNAPSHOT.value}/{one.id}" for one in listed}


def blame(run: Run, opened: Opened, outcome: Outcome, argv: tuple[str, ...]) -> None:
    """Return where restic's failure is that of what it was shown. ResticError where it is this machine's: then it proves nothing.

    A machine without memory or processes to spare fails an honest pack as it fails a poisoned one. It fails a repository that holds
    nothing, too; and what the kernel kills has not crashed by itself.
    """
    if restic.parse_check(outcome):  # it came to its end, and this is its verdict
        return
    if outcome.status < 0 and not outcome.late:
        raise restic.failure(argv[0], outcome)
    with run.serve(View(run.base(opened)), Permissions(write=True), {}) as server:
        alone = run.ask(server, opened, argv, time=LEAST_TIME)
        raise_failures(server, "a repository that holds nothing")
    if alone.status:
        raise restic.failure(argv[0], alone)


def raise_failures(server: ViewServer, what: str) -> None:
    """Raise StoreError where the store failed the view: what restic says of it then is no proof of anything."""
    if server.failures:
        raise StoreError(f"{what}: {server.failures[0]}", guidance="the next run begins anew")


def failing_among(keys: list[str], passes: Callable[[list[str]], bool]) -> list[str]:
    """Return those that do not pass, by halving: one bad among a thousand costs twenty checks."""
    if not keys or passes(keys):
        return []
    if len(keys) == 1:
        return keys
    half = len(keys) // 2
    return [*failing_among(keys[:half], passes), *failing_among(keys[half:], passes)]
