"""Packs that were damaged before us: restic still restores what is sound in them, so they stay, and what they hold is salvaged later."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from random import SystemRandom

from maintainer.agent.admitting import Admission
from maintainer.agent.proving import LEAST_TIME, SLOWEST, index_anew, raise_failures
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import open_index, read_small
from maintainer.core.admission import Blob, contents, has_trees
from maintainer.core.errors import ResticError
from maintainer.core.findings import Finding, Kind
from maintainer.core.records import Record, State
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.revert import Truth
from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.core.view import Standing, View
from maintainer.edges import restic
from maintainer.edges.scratch import Scratch
from maintainer.edges.viewserver import Permissions, scratch_version
from maintainer.format.blobs import is_sound
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import encrypt
from maintainer.format.indexes import StrangeError, TooLargeError, read_index, read_loosely, write_index

LONGEST_LOOSE = 32 << 20
"""Bytes of an index in another form than restic's that are read: its JSON is held whole."""
LARGEST = 160 << 20
"""Bytes of a damaged pack: restic's largest has 128 MiB, and may exceed that by a blob."""
MOST_CLAIMS = 50_000
"""Blobs of a damaged pack that are tried: restic ends a pack of 128 MiB long before."""
WORK_A_NIGHT = 8 << 30
"""Bytes, as they lie there and inflated, that are looked into in a night: what is left stays, and is looked into in the next."""
BATCH, MOST_IN_A_BATCH, BATCHES = 64 << 20, 500, 16
"""Damaged packs that one restic salvages, in bytes and in number, and how often in a night it does."""
SALVAGED = "damaged before first contact: what was sound in it is in a pack of ours"


@dataclass(slots=True)
class _Spare:
    """What may still be looked into in this night, in bytes."""

    work: int = WORK_A_NIGHT


def was_there(run: Run, history: KeyHistory) -> bool:
    """Tell whether a file was there before first contact, by the store's own date."""
    return run.fold.was_there(next(history.oldest_first()).last_modified)


def settle_damage(run: Run, suspects: Mapping[str, str], opened: Opened, made: Admission) -> None:
    """Evict packs that are not true, with why; but of those that were damaged before us what is sound is kept.

    They stay as they are until a person has accepted the repository, and are told. Then what is sound is put anew.
    """
    met = {key: found for key in suspects if (found := _as_it_was_met(run, run.histories[key])) is not None}
    claims = _claims(run, frozenset(map(short, met)), opened) if met else {}
    spare = _Spare()
    damaged: dict[str, tuple[Blob, ...]] = {}
    for key in SystemRandom().sample(sorted(suspects), len(suspects)):  # what costs most must not come first every night
        why = suspects[key]
        sound = _sound(run, met[key], claims[short(key)], opened, spare) if short(key) in claims else ()
        if sound is None or sound:
            damaged[key] = sound or ()
        else:
            run.findings.append(Finding(Kind.GARBAGE, key, why, run.histories[key].current.version_id))
            made.evict(key, why)
    salvaged = _salvage(run, {key: met[key] for key in damaged}, damaged, opened, made) if run.fold.accepted else ()
    for key in salvaged:
        made.evict(key, SALVAGED)
    for key in damaged.keys() - set(salvaged):
        run.findings.append(Finding(Kind.DAMAGED_PACK, key, suspects[key], run.histories[key].current.version_id))
        run.standing.pop(key, None)
        made.damaged.add(short(key))


def _claims(run: Run, packs: Collection[str], opened: Opened) -> dict[str, set[Blob]]:
    """Return what the indexes of before first contact say of these packs: what a host has put since says nothing of damage of then."""
    claims: dict[str, set[Blob]] = {}
    for key, version in Standing(run.standing, (FileType.INDEX,)).below():
        if was_there(run, run.histories[key]):
            for pack, blobs in _said(run, version, opened, packs):
                known = claims.setdefault(pack, set())
                known.update(blobs[: MOST_CLAIMS - len(known)])
    return claims


def _as_it_was_met(run: Run, history: KeyHistory) -> ObjectVersion | None:
    """Return the newest version of before first contact that fits into memory: what a host has put over it since is no damage of then."""
    return next((one for one in history.contents() if run.fold.was_there(one.last_modified) and one.size <= LARGEST), None)


def _said(run: Run, version: ObjectVersion, opened: Opened, packs: Iterable[str]) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    """Yield what an index, in whatever form, says of these packs."""
    wanted = frozenset(packs)
    with suppress(FormatError):
        try:
            with open_index(run, version) as body:
                yield from ((pack, blobs) for pack, blobs in read_index(opened.master, body) if pack in wanted)
        except TooLargeError:
            return
        except StrangeError:
            if version.size > LONGEST_LOOSE:
                return
            yield from ((pack, blobs) for pack, blobs in read_loosely(opened.master, read_small(run, version)).items() if pack in wanted)


def _sound(run: Run, version: ObjectVersion, claimed: Iterable[Blob], opened: Opened, spare: _Spare) -> tuple[Blob, ...] | None:
    """Return which of these blobs a pack really holds: one of them, or after a person's word all; None where the night's work is done.

    The pack is read once. Small blobs come first: lies about large ones use up the work last.
    """
    found: list[Blob] = []
    body = b""
    for blob in sorted(claimed, key=lambda blob: (blob[3] + blob[4], blob)):
        _, _, at, length, plain = blob
        if at + length > version.size:
            continue
        if spare.work < length + plain:
            return None
        spare.work -= length + plain
        body = body or run.store.read(version, LARGEST)
        if is_sound(opened.master, body[at : at + length], blob):
            found.append(blob)
            if not run.fold.accepted:
                break
    return _apart(found)


def _apart(blobs: Iterable[Blob]) -> tuple[Blob, ...]:
    """Return blobs of a pack in their order, without those that lie over one before: restic refuses such."""
    apart: list[Blob] = []
    end = 0
    for blob in sorted(blobs, key=lambda blob: blob[2]):
        if blob[2] >= end:
            apart.append(blob)
            end = blob[2] + blob[3]
    return tuple(apart)


def _salvage(
    run: Run, packs: Mapping[str, ObjectVersion], sound: Mapping[str, tuple[Blob, ...]], opened: Opened, made: Admission
) -> tuple[str, ...]:
    """Let restic write anew what is sound in these packs, some at a time; return those with which that is done, by key."""
    done: list[str] = []
    for batch in _batches({key: version for key, version in packs.items() if sound[key]})[:BATCHES]:
        try:
            _admit_salvaged(run, _repaired(run, batch, {short(key): sound[key] for key in batch}, opened), opened, made)
        except ResticError as error:  # they stay as they are, and the run goes on
            run.recorder.record("salvage.failed", key=next(iter(batch)), reason=error.message)
        else:
            done += batch
    return tuple(done)


def _batches(packs: Mapping[str, ObjectVersion]) -> list[dict[str, ObjectVersion]]:
    """Part packs into lots of `BATCH` bytes, or of one pack that is larger."""
    lots: list[dict[str, ObjectVersion]] = []
    size = BATCH
    for key, version in packs.items():
        if size + version.size > BATCH or len(lots[-1]) >= MOST_IN_A_BATCH:
            lots.append({})
            size = 0
        lots[-1][key] = version
        size += version.size
    return lots


def _repaired(run: Run, packs: Mapping[str, ObjectVersion], sound: Mapping[str, Sequence[Blob]], opened: Opened) -> dict[str, bytes]:
    """Return the packs that `restic repair packs` makes of damaged ones, by key; ResticError where it fails. Nothing is put yet.

    It is shown an index of ours, which names what was found sound: what hosts claimed may make it fail, or take all memory.
    """
    made = {key: run.store.read(version, LARGEST) for key, version in packs.items()}
    index = encrypt(opened.master, write_index(sound), os.urandom(16))
    made[f"{FileType.INDEX.value}/{hashlib.sha256(index).hexdigest()}"] = index
    view = View({**run.base(opened), **{key: scratch_version(key, body) for key, body in made.items()}})
    enough = LEAST_TIME + sum(map(len, made.values())) / SLOWEST * timedelta(seconds=1)
    folder = Scratch()  # restic keeps a copy of each pack where it runs
    try:
        with run.serve(view, Permissions(write=True, delete=True), made) as server:
            argv = restic.repair_packs_argv(sound)
            ended = run.restic.run(server.address, opened.password, argv, time=enough, folder=folder.path)
            raise_failures(server, "salvage")
    finally:
        folder.close()
    if ended.status:
        raise restic.failure("repair packs", ended)
    return {name: body for name, body in made.items() if name.startswith(f"{FileType.PACK.value}/") and name not in packs}


def _admit_salvaged(run: Run, packs: Mapping[str, bytes], opened: Opened, made: Admission) -> None:
    """Put packs that restic made for us, and an index of ours that names them."""
    if not packs:
        return
    announce = run.state.announce(run.run_id)
    versions: dict[str, ObjectVersion] = {}
    for key, body in packs.items():
        announce(RepositoryFile(FileType.PACK, short(key)))
        versions[key] = version = run.store.put(key, body)
        run.put_on_top(version)
        run.standing[key] = Truth(version, version.last_modified)
    indexes = index_anew(run, versions, opened)
    holds = contents(said for body in indexes.values() for said in read_index(opened.master, body))
    for key, version in versions.items():
        record = Record(State.ADMITTED, version.version_id, version.size, version.last_modified, run.now, ours=True)
        made.changes[key] = replace(record, trees=has_trees(holds[short(key)]))
    made.admit_ours(indexes)
