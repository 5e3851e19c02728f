"""Opening a repository: at first contact the oldest config and keys that authenticate are pinned; later the pinned ones are opened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TypeAlias

from maintainer.agent import formats, readings
from maintainer.agent.run import Opened, Run, short
from maintainer.core.errors import ConfigurationError, HeldError, MaintainerError, NotFoundError, PasswordError, Problem
from maintainer.core.findings import Finding, Kind
from maintainer.core.job import RepositoryJob
from maintainer.core.records import Record, State
from maintainer.core.repofiles import MAXIMA, FileType
from maintainer.core.versions import ObjectVersion
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey
from maintainer.format.files import KeyFile, WrongPasswordError, open_key, parse_config, parse_key

IDENTITY = "maintainer/"
LONGEST_IDENTITY = 1 << 20
MOST_IDENTITIES = 100
"""How many of them are looked into."""
MOST_TRIED = 40
"""How many keys a run tries to open: whoever could put into the bucket before first contact may have put any number."""

Keys: TypeAlias = Mapping[str, tuple[ObjectVersion, KeyFile]]
"""Sound key files, and the versions that hold them, by their names."""
Outcomes: TypeAlias = dict[str, "MasterKey | ValueError"]
"""What came of trying keys, by their names: the master key, or why none."""


EARLIER = Finding(Kind.EARLIER_LEDGER, "ledger", "another ledger's identity lies here, older than this one's")


def has_earlier_identity(run: Run) -> bool:
    """Tell whether another ledger left its identity object here before ours did: its state store was wiped, or is another than named.

    Or a host forged it, which nobody can tell apart. It counts by its content, which hashes to its name; of very many, by being there.
    """
    return next(earlier_identities(run), None) is not None


def earlier_identities(run: Run) -> Iterator[ObjectVersion]:
    """Yield the identity objects of other ledgers that were here before ours, each by its oldest true version.

    After `MOST_IDENTITIES` versions were looked into, what is left is yielded unread.
    """
    ours = run.histories.get(f"{IDENTITY}{run.fold.identity}") if run.fold.head[0] else None
    since = next(ours.oldest_first()).last_modified if ours is not None else None
    looked_at = 0
    for history in run.histories.histories(IDENTITY):
        if ours is not None and history.key == ours.key:
            continue
        for version in reversed(list(history.contents())):
            # Stores date to the second: what is of the second in which ours was put may be older.
            if (since is not None and version.last_modified > since) or version.size > LONGEST_IDENTITY:
                continue
            looked_at += 1
            if looked_at > MOST_IDENTITIES or run.looks(version).digest == history.key.removeprefix(IDENTITY):
                yield version
                break


def ledger_lost(done: str) -> HeldError:
    """Return what ends whoever finds such an object and no ledger; `done` says what was done all the same."""
    return HeldError(
        f"the ledger is empty, though maintainer was here before: {done}",
        guidance="correct [state] location if it is another than before; if that state store is lost: maintainer enroll HOST --rebase",
    )


def refuse_another(run: Run, password: Callable[[], str]) -> None:
    """Refuse a place where nothing is left of all that the ledger admitted, and another repository lies. HeldError.

    No host can bring that about, for it deletes no version; a mistake in the configuration can. Healing would end in nothing, and what lies
    there would be evicted.
    """
    current = run.histories.get("config")
    if not run.fold.head[0] or current is None or current.current.is_marker or any(True for _ in _left(run)):
        return
    which = ""
    with suppress(MaintainerError, ValueError):  # it is told by its id where it opens
        masters = _opened(dict(_try(_meant(_oldest_sound_keys(run), run.job), password())))
        body = run.store.read(current.current, MAXIMA[FileType.CONFIG])
        for master in masters.values():
            with suppress(FormatError):
                which = f" (id {parse_config(master, body).id[:8]})"
    raise HeldError(
        f"this is another repository{which} than the one that was pinned: of what the ledger of {run.job.name} admitted nothing is at "
        f"{run.job.place}, not even an old version",
        guidance=f"correct the location of {run.job.name}; for this repository take a name of its own",
    )


def _left(run: Run) -> Iterator[str]:
    """Yield what is left of what the ledger admitted: by name, which is a hash, and of config by the version."""
    for key, record in run.fold.records.select(state=State.ADMITTED):
        history = run.histories.get(key)
        if history is not None and (key != "config" or any(one.version_id == record.version for one in history.versions)):
            yield key


def refuse_others_inside(run: Run) -> None:
    """At first contact refuse a prefix in which other repositories lie: it is a mistake in the configuration, and the wrong one to trust.

    Later it would be a way to hold runs up, for whoever may put: then such names are told like any others that are not restic's.
    """
    others = sorted({key.removesuffix("/config") for key in run.histories if key.endswith("/config")})
    others = [one for one in others if next(iter(run.histories.histories(f"{one}/keys/")), None) is not None]
    if others:
        shown = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")  # noqa: PLR2004 - as many as fit a line
        found = f"other repositories lie in it: {shown}"
        raise ConfigurationError((Problem(f"location {run.job.place}", found, "the prefix of one repository", "name each by itself"),))


def pin(run: Run, password: str) -> dict[str, Record]:
    """Find what entry 0 pins: config, and every sound key. Raises PasswordError, and NotFoundError where no repository is."""
    if "config" not in run.histories:
        raise NotFoundError(
            f"there is no restic repository at {run.job.place}", guidance="correct the location, or make one: restic init, as the host"
        )
    found = _oldest_sound_keys(run)
    visible = {key: one for key, one in found.items() if not run.histories[key].current.is_marker}
    outcomes: Outcomes = dict(_try(_meant(visible, run.job), password))
    if not _opened(outcomes) or run.may_mark:  # a key that an earlier ledger had let go must not come back
        outcomes |= _try({key: one for key, one in _meant(found, run.job).items() if key not in visible}, password)
    if not (masters := _opened(outcomes)):
        raise _why_none(found, outcomes, run.job)
    reading = readings.choose(run, masters)
    oldest = dict(_oldest(visible)[:MOST_TRIED])
    outcomes |= _try({key: one for key, one in oldest.items() if key not in outcomes}, password)
    pins = {
        key: Record(State.ADMITTED, true.version_id, true.size, true.last_modified, run.now)
        for key, (true, file) in found.items()
        if (key in visible or key == reading.key) and not _misleads(file, outcomes.get(key), reading.master)
    }
    version, body = reading.versions[0]
    pins["config"] = formats.of_first_contact(run, reading.master, version, body)
    return pins


def _opened(outcomes: Outcomes) -> dict[str, MasterKey]:
    return {key: outcome for key, outcome in outcomes.items() if isinstance(outcome, MasterKey)}


def _misleads(key: KeyFile, outcome: MasterKey | ValueError | None, master: MasterKey) -> bool:
    """Tell whether the password opens a key to something else than the repository's: restic would take it, and fail.

    Such a key is not pinned, and so admission evicts it.
    """
    if outcome is None or not key.is_affordable or isinstance(outcome, WrongPasswordError):
        return False
    return outcome != master


def _oldest_sound_keys(run: Run) -> Keys:
    found: dict[str, tuple[ObjectVersion, KeyFile]] = {}
    for history in run.histories.histories(f"{FileType.KEY.value}/"):
        if history.file is None or history.file.type is not FileType.KEY:
            continue
        for version in history.oldest_first():
            if version.size <= MAXIMA[FileType.KEY] and run.looks(version).digest == history.file.id:
                with suppress(FormatError):  # true by its name, and no key: left to admission
                    found[history.key] = (version, parse_key(run.store.read(version, MAXIMA[FileType.KEY])))
                break
    return found


def open_pinned(run: Run, password: str) -> Opened:
    """Open the repository with a pinned key, as it stands after revert, or with one that a person accepted since."""
    key, master = open_any(trusted_keys(run), password, run.job)
    return Opened(key, master, password)


def has_other_key(run: Run, opened: Opened) -> bool:
    """Tell whether a sound key file lies there that our password does not open: a colleague's, of this repository or of another."""
    return any(isinstance(outcome, WrongPasswordError) for _, outcome in _try(trusted_keys(run), opened.password))


def trusted_keys(run: Run) -> Keys:
    """Return the keys that a repository may be opened with: those pinned, and those that a person accepted and no run has pinned yet."""
    accepted = {key: run.standing[key].version for key in run.fold.accepted_keys if key not in run.fold.records and key in run.standing}
    found: dict[str, tuple[ObjectVersion, KeyFile]] = {}
    for key, version in {**accepted, **run.admitted(FileType.KEY)}.items():
        with suppress(ValueError):  # larger than a key may be, or none: admission says so
            found[key] = (version, parse_key(run.kept.read(version, MAXIMA[FileType.KEY])))
    return found


def open_any(keys: Keys, password: str, job: RepositoryJob) -> tuple[str, MasterKey]:
    """Return the first key that the password opens, oldest first, for no host dates one back. A key may cost seconds: not all are tried.

    PasswordError tells a wrong password, damaged keys, and too many keys from each other.
    """
    outcomes: Outcomes = {}
    for key, outcome in _try(_meant(keys, job), password):
        if isinstance(outcome, MasterKey):
            return key, outcome
        outcomes[key] = outcome
    raise _why_none(keys, outcomes, job)


def _meant(keys: Keys, job: RepositoryJob) -> Keys:
    return {key: one for key, one in keys.items() if short(key).startswith(job.key)}


def _oldest(keys: Keys) -> list[tuple[str, tuple[ObjectVersion, KeyFile]]]:
    return sorted(keys.items(), key=lambda item: (item[1][0].last_modified, item[0]))


def _try(keys: Keys, password: str) -> Iterator[tuple[str, MasterKey | ValueError]]:
    for key, (_, file) in _oldest(keys)[:MOST_TRIED]:
        try:
            yield key, open_key(file, password)
        except ValueError as error:
            yield key, error


def _why_none(keys: Keys, outcomes: Outcomes, job: RepositoryJob) -> PasswordError:
    """Return why the password opened none of the keys that were tried."""
    meant = _meant(keys, job)
    if len(meant) > MOST_TRIED:
        return PasswordError(
            f"{job.name}: the password opens none of the {MOST_TRIED} oldest keys, of {len(meant)} that lie there",
            guidance="correct the `password` source, or name the key that it opens: key = ID, from the host's `restic key list`",
        )
    if job.key and not meant:
        guidance = "correct the repository's `key`, or remove it"
        return PasswordError(f"{job.name}: no sound key's id begins with {job.key}", guidance=guidance)
    if any(isinstance(outcome, WrongPasswordError) for outcome in outcomes.values()):
        return PasswordError(
            f"{job.name}: wrong password: no key of the repository opens with it", guidance="correct the repository's `password` source"
        )
    return PasswordError(
        f"{job.name}: the repository's keys are damaged or missing: no version of any is sound",
        guidance="put a key file back from a copy, or from the host's local repository",
    )
