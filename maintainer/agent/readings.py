"""Which repository lies here: at first contact evidence decides, not age, and where two readings are possible a person is asked.

A reading is a key file that the password opens, and a config that authenticates under it. Configs that differ in their format alone are
one reading.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from random import SystemRandom

from maintainer.agent.run import Run, short
from maintainer.core.amounts import counted
from maintainer.core.entries import READING_AT
from maintainer.core.errors import HeldError, PasswordError
from maintainer.core.findings import Finding, Kind
from maintainer.core.moments import to_minute
from maintainer.core.repofiles import MAXIMA, FileType, RepositoryFile
from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.edges.inorder import in_order
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey, decrypt
from maintainer.format.files import Config, parse_config

MOST_CONFIGS = 10_000
"""Versions of config that are read: of more than these half are the newest, and half the oldest."""
MOST_HEADERS = 100
"""Packs whose headers are tried, drawn at random, where neither snapshots nor indexes tell whose they are."""
LONGEST_HEADER = 16 << 20
READERS = 8
SHOWN = 8


@dataclass
class Reading:
    """One reading: `versions` are its configs' with their bytes, oldest first, those that no marker hides; else hidden ones."""

    key: str
    master: MasterKey
    config: Config
    versions: list[tuple[ObjectVersion, bytes]] = field(default_factory=list)
    is_hidden: bool = False

    def codes(self) -> Iterator[str]:
        """Yield what names it, each for one of its configs: whatever else is put later voids none of them."""
        return (hashlib.sha256(body + self.key.encode()).hexdigest()[:32] for _, body in self.versions)


@dataclass
class _Evidence:
    """What a master key opens of what is current."""

    snapshots: int = 0
    newest: datetime | None = None
    others: int = 0

    def take(self, file: RepositoryFile, version: ObjectVersion) -> None:
        if file.type is FileType.SNAPSHOT:
            self.snapshots += 1
            self.newest = max(self.newest or version.last_modified, version.last_modified)
        else:
            self.others += 1


def choose(run: Run, masters: Mapping[str, MasterKey]) -> Reading:
    """Return the one reading that what is current supports, or that a person chose; `masters` are what the password opens, by key file.

    HeldError, with all readings and a command for each, where there are several, or none but what markers hide: nothing is changed then.
    """
    readings = _find(run, masters)
    if not readings:
        raise PasswordError(
            f"{run.job.name}: no version of config authenticates",
            guidance="restore config from the host's local repository, then run again",
        )
    chosen = next((one for one in readings if run.fold.accepted_reading in one.codes()), None)
    if chosen is not None:
        return chosen
    visible = [one for one in readings if not one.is_hidden]
    there = {master for key, master in masters.items() if not run.histories[key].current.is_marker} or set(masters.values())
    if len(visible) == 1 and there <= {visible[0].master}:
        _tell_of_earlier(run, readings, visible[0])
        return visible[0]
    evidence = _weigh(run, {*there, *(one.master for one in visible)})
    supported = [one for one in visible if evidence is None or one.master in evidence]
    without_config = set(evidence or ()) - {one.master for one in visible}
    if len(supported) == 1 and not without_config:
        _tell_of_earlier(run, readings, supported[0])
        return supported[0]
    shown = supported + [one for one in readings if one not in supported]
    raise _held(run, shown, evidence or {}, [key for key, master in masters.items() if master in without_config])


def _find(run: Run, masters: Mapping[str, MasterKey]) -> list[Reading]:
    """Return the readings, those first that no marker hides; of each its oldest configs first."""
    opens: dict[MasterKey, str] = {}
    for key, master in masters.items():
        opens.setdefault(master, key)
    versions = run.histories["config"].versions
    visible = sum(1 for _ in takewhile(lambda version: not version.is_marker, versions))
    # Of very many the newest and the oldest: whoever floods it can not put anything before what was there.
    left_out = range(MOST_CONFIGS // 2, len(versions) - MOST_CONFIGS // 2)

    def read(version: ObjectVersion) -> tuple[MasterKey, Config, bytes] | None:
        with suppress(ValueError):
            body = run.store.read(version, MAXIMA[FileType.CONFIG])
            return (*_parsed(opens, body), body)
        return None

    found: dict[tuple[MasterKey, str, str, bool], Reading] = {}
    numbered = {version: number for number, version in enumerate(versions) if not version.is_marker and number not in left_out}
    for version, result in in_order(read, numbered, READERS, "config"):
        if result is not None:
            master, config, body = result
            is_hidden = numbered[version] >= visible
            same = (master, config.id, config.polynomial, is_hidden)
            one = found.setdefault(same, Reading(opens[master], master, config, is_hidden=is_hidden))
            one.versions.insert(0, (version, body))
    return [one for (*same, hidden), one in found.items() if not hidden or (*same, False) not in found]


def _parsed(masters: Iterable[MasterKey], body: bytes) -> tuple[MasterKey, Config]:
    for master in masters:
        with suppress(FormatError):
            return master, parse_config(master, body)
    raise FormatError("no key opens it")


def _weigh(run: Run, masters: set[MasterKey]) -> dict[MasterKey, _Evidence] | None:
    """Say what each master key opens of what is current, or would be once overwriting is healed; None where there is nothing."""
    found: dict[MasterKey, _Evidence] = {}
    is_empty = True

    def opener(history: KeyHistory) -> tuple[MasterKey, RepositoryFile, ObjectVersion] | None:
        file, version = history.file, _true(run, history)
        if file is None or version is None:
            return None
        with run.room.hold(0 if file.type is FileType.PACK else version.size):
            body = _header(run, version) if file.type is FileType.PACK else run.store.read(version, MAXIMA[file.type])
            for master in masters:
                with suppress(FormatError):
                    decrypt(master, body)
                    return master, file, version
        return None

    packs = [history for history in run.histories.histories("data/") if not history.current.is_marker]
    packs = SystemRandom().sample(packs, min(MOST_HEADERS, len(packs)))
    for histories in (run.histories.histories("snapshots/"), run.histories.histories("index/"), packs):
        for _, result in in_order(opener, (one for one in histories if not one.current.is_marker), READERS, "readings"):
            is_empty = False
            if result is not None:
                master, file, version = result
                found.setdefault(master, _Evidence()).take(file, version)
        if found.keys() == masters and histories is not packs:
            break
    return None if is_empty else found


def _true(run: Run, history: KeyHistory) -> ObjectVersion | None:
    """Return a version that is what the name says: the current one, or else the oldest."""
    file = history.file
    for version in (history.current, next(history.oldest_first())):
        if file is not None and version.size <= MAXIMA[file.type] and (file.type is FileType.PACK or run.looks(version).digest == file.id):
            return version
    return None


def _header(run: Run, version: ObjectVersion) -> bytes:
    """Return a pack's sealed header; bytes that nothing opens, where there is none."""
    if version.size < 4:  # noqa: PLR2004 - the length of its length
        return b""
    length = int.from_bytes(run.store.read_part(version, version.size - 4, version.size), "little")
    if not 0 < length <= min(LONGEST_HEADER, version.size - 4):
        return b""
    return run.store.read_part(version, version.size - 4 - length, version.size - 4)


def _described(one: Reading, evidence: Mapping[MasterKey, _Evidence]) -> str:
    version, _ = one.versions[0]
    opens = evidence.get(one.master, _Evidence())
    newest = f", the newest put on {to_minute(opens.newest)}" if opens.newest else ""
    hidden = ", hidden by a delete marker" if one.is_hidden else ""
    config = f"config of {to_minute(version.last_modified)}{hidden}"
    return f"id {one.config.id[:SHOWN]} by key {short(one.key)[:SHOWN]}, {config}, {counted(opens.snapshots, 'current snapshot')}{newest}"


def _held(run: Run, readings: list[Reading], evidence: Mapping[MasterKey, _Evidence], lost: list[str]) -> HeldError:
    told = [_described(one, evidence) for one in readings]
    told += [f"one without a config, whose files key {short(key)[:SHOWN]} opens" for key in lost]
    commands = [f"for id {one.config.id[:SHOWN]}: maintainer accept {run.job.name} {READING_AT}{next(one.codes())}" for one in readings]
    accepted = run.fold.accepted_reading
    unknown = f"the code that was accepted, {accepted}, is that of none; " if accepted else ""
    what = "several repositories lie here" if len(told) > 1 else "what is current is no whole repository"
    do = "; ".join(commands) + ("; for the one without: put its config back from a copy" if lost else "")
    return HeldError(f"{what}, and nothing was changed: {'; '.join(told)}", guidance=f"{unknown}choose one. {do}")


def _tell_of_earlier(run: Run, readings: list[Reading], chosen: Reading) -> None:
    """Tell of other repositories that lie in older versions: they stay as they are."""
    for one in readings:
        if one is not chosen and one.is_hidden:
            told = f"older versions hold another repository, {_described(one, {})}"
            run.findings.append(Finding(Kind.EARLIER_REPOSITORY, "config", told, next(one.codes())))
