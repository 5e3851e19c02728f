"""Packs that were damaged before us: restic still restores what is sound in them, so they stay, and what they hold is salvaged later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

from maintainer.agent.admitting import Admission
from maintainer.agent.proving import LEAST_TIME, LONGEST_SPOOLED, SLOWEST, index_anew, raise_failures
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
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import decrypt
from maintainer.format.indexes import StrangeError, TooLargeError, read_index, read_loosely

LONGEST_LOOSE = 32 << 20
"""Bytes of an index in another form than restic's that are read: its JSON is held whole."""
LOOKED_INTO = 1_000
"""Blobs of a damaged pack that are tried, until one is sound."""
SALVAGED = "damaged before first contact: what was sound in it is in a pack of ours"


@dataclass(frozen=True, slots=True)
class Damage:
    """Damaged packs that hold sound blobs, and the indexes that say which: by key."""

    packs: Mapping[str, ObjectVersion] = field(default_factory=dict)
    indexes: Mapping[str, ObjectVersion] = field(default_factory=dict)


def was_there(run: Run, history: KeyHistory) -> bool:
    """Tell whether a file was there before first contact, by the store's own date."""
    return run.fold.was_there(next(history.oldest_first()).last_modified)


def find_damage(run: Run, suspects: Iterable[str], opened: Opened) -> Damage:
    """Return those packs of `suspects`, by their keys, that hold a blob which authenticates, by what the repository's indexes say."""
    versions = {short(key): found for key in suspects if (found := _as_it_was_met(run, run.histories[key])) is not None}
    if not versions:
        return Damage()
    packs: dict[str, ObjectVersion] = {}
    indexes: dict[str, ObjectVersion] = {}
    for key, version in Standing(run.standing, (FileType.INDEX,)).below():
        for pack, blobs in _said(run, version, opened, versions.keys()):
            indexes[key] = version
            if RepositoryFile(FileType.PACK, pack).key() not in packs and _has_sound(run, versions[pack], blobs, opened):
                packs[RepositoryFile(FileType.PACK, pack).key()] = versions[pack]
    return Damage(packs, indexes if packs else {})


def _as_it_was_met(run: Run, history: KeyHistory) -> ObjectVersion | None:
    """Return the newest version of before first contact: what a host has put over it since is no damage of then."""
    return next((one for one in history.contents() if run.fold.was_there(one.last_modified) and one.size <= LONGEST_SPOOLED), None)


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


def _has_sound(run: Run, version: ObjectVersion, blobs: Iterable[Blob], opened: Opened) -> bool:
    body = run.store.read(version, LONGEST_SPOOLED)
    for number, (_, _, at, length, _) in enumerate(blobs):
        if number >= LOOKED_INTO:
            break
        with suppress(FormatError):
            decrypt(opened.master, body[at : at + length])
            return True
    return False


def salvage(run: Run, key: str, damage: Damage, opened: Opened) -> dict[str, bytes]:
    """Let restic write what is sound in a damaged pack anew; return the packs that it made, by key. Nothing is put yet.

    ResticError where restic fails over it.
    """
    body = run.store.read(damage.packs[key], LONGEST_SPOOLED)
    made: dict[str, bytes] = {key: body}
    view = View({**run.base(opened), **damage.indexes, key: scratch_version(key, body)})
    folder = Scratch()  # restic keeps a copy of the pack where it runs
    try:
        with run.serve(view, Permissions(write=True, delete=True), made) as server:
            enough = LEAST_TIME + len(body) / SLOWEST * timedelta(seconds=1)
            argv = restic.repair_packs_argv(short(key))
            done = run.restic.run(server.address, opened.password, argv, time=enough, folder=folder.path)
            raise_failures(server, "salvage")
    finally:
        folder.close()
    if done.status:
        raise restic.failure("repair packs", done)
    return {name: one for name, one in made.items() if name.startswith(f"{FileType.PACK.value}/") and name != key}


def settle_damage(run: Run, suspects: Mapping[str, str], opened: Opened, made: Admission) -> None:
    """Evict packs that are not true, with why; but of those that were damaged before us what is sound is kept.

    They stay as they are until a person has accepted the repository, and are told. Then what is sound is put anew.
    """
    old = [key for key in suspects if was_there(run, run.histories[key])]
    damage = find_damage(run, old, opened)
    for key, why in suspects.items():
        if key not in damage.packs:
            run.findings.append(Finding(Kind.GARBAGE, key, why, run.histories[key].current.version_id))
            made.evict(key, why)
        elif run.fold.accepted and (packs := _try_to_salvage(run, key, damage, opened)) is not None:
            _admit_salvaged(run, packs, opened, made)
            made.evict(key, SALVAGED)
        else:
            run.findings.append(Finding(Kind.DAMAGED_PACK, key, why, run.histories[key].current.version_id))
            run.standing.pop(key, None)
            made.damaged.add(short(key))


def _try_to_salvage(run: Run, key: str, damage: Damage, opened: Opened) -> dict[str, bytes] | None:
    """Salvage a pack; None where restic fails over it: then it stays as it is, and the run goes on."""
    try:
        return salvage(run, key, damage, opened)
    except ResticError as error:
        run.recorder.record("salvage.failed", key=key, reason=error.message)
        return None


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
