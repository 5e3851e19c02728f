"""Opening a repository: at first contact the oldest config and keys that authenticate are pinned; later the pinned ones are opened."""

from __future__ import annotations

from contextlib import suppress

from maintainer.agent import formats
from maintainer.agent.run import Opened, Run, short
from maintainer.core.errors import ConfigurationError, HeldError, NotFoundError, PasswordError, Problem
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


def has_earlier_identity(run: Run) -> bool:
    """Tell whether another ledger left its identity object here before ours did: its state store was wiped, or is another than named.

    Or a host forged it, which nobody can tell apart. It counts by its content, which hashes to its name; of very many, by being there.
    """
    ours = run.histories.get(f"{IDENTITY}{run.fold.identity}") if run.fold.head[0] else None
    since = next(ours.oldest_first()).last_modified if ours is not None else None
    looked_at = 0
    for history in run.histories.histories(IDENTITY):
        if ours is not None and history.key == ours.key:
            continue
        for version in history.contents():
            if (since is not None and version.last_modified >= since) or version.size > LONGEST_IDENTITY:
                continue
            looked_at += 1
            if looked_at > MOST_IDENTITIES or run.looks(version).digest == history.key.removeprefix(IDENTITY):
                return True
    return False


def ledger_lost(done: str) -> HeldError:
    """Return what ends whoever finds such an object and no ledger; `done` says what was done all the same."""
    return HeldError(
        f"the ledger is empty, though maintainer was here before: {done}",
        guidance="correct [state] location: the state store was wiped, or is another one",
    )


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
    master = None
    if run.has_earlier_ledger:  # a key that it had let go must not come back
        visible = {key: one for key, one in found.items() if not run.histories[key].current.is_marker}
        with suppress(PasswordError):
            master = open_any(visible, password, run.job)[1]
            found = visible
    if master is None:
        master = open_any(found, password, run.job)[1]
    tried = sorted(found, key=lambda key: (found[key][0].last_modified, key))[:MOST_TRIED]
    misleading = {key for key in tried if _misleads(found[key][1], password, master)}
    found = {key: one for key, one in found.items() if key not in misleading}
    now = run.now
    pins = {
        key: Record(State.ADMITTED, version.version_id, version.size, version.last_modified, now) for key, (version, _) in found.items()
    }
    for version in run.histories["config"].oldest_first():
        try:
            body = run.store.read(version, MAXIMA[FileType.CONFIG])
            parse_config(master, body)
        except ValueError:
            continue
        pins["config"] = formats.of_first_contact(run, master, version, body)
        return pins
    raise PasswordError(
        f"{run.job.name}: no version of config authenticates", guidance="restore config from the host's local repository, then run again"
    )


def _misleads(key: KeyFile, password: str, master: MasterKey) -> bool:
    """Tell whether the password opens a key to something else than the repository's: restic would take it, and fail.

    Such a key is not pinned, and so admission evicts it.
    """
    try:
        return key.is_affordable and open_key(key, password) != master
    except WrongPasswordError:
        return False
    except FormatError:
        return True


def _oldest_sound_keys(run: Run) -> dict[str, tuple[ObjectVersion, KeyFile]]:
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


def trusted_keys(run: Run) -> dict[str, tuple[ObjectVersion, KeyFile]]:
    """Return the keys that a repository may be opened with: those pinned, and those that a person accepted and no run has pinned yet."""
    accepted = {key: run.standing[key].version for key in run.fold.accepted_keys if key not in run.fold.records and key in run.standing}
    found: dict[str, tuple[ObjectVersion, KeyFile]] = {}
    for key, version in {**accepted, **run.admitted(FileType.KEY)}.items():
        with suppress(ValueError):  # larger than a key may be, or none: admission says so
            found[key] = (version, parse_key(run.kept.read(version, MAXIMA[FileType.KEY])))
    return found


def open_any(keys: dict[str, tuple[ObjectVersion, KeyFile]], password: str, job: RepositoryJob) -> tuple[str, MasterKey]:
    """Return the first key that the password opens, oldest first, for no host dates one back. A key may cost seconds: not all are tried.

    PasswordError tells a wrong password, damaged keys, and too many keys from each other.
    """
    is_wrong = False
    meant = {key: one for key, one in keys.items() if short(key).startswith(job.key)}
    oldest = sorted(meant.items(), key=lambda item: (item[1][0].last_modified, item[0]))
    for key, (_, file) in oldest[:MOST_TRIED]:
        try:
            return key, open_key(file, password)
        except WrongPasswordError:
            is_wrong = True
        except FormatError:
            continue
    if len(oldest) > MOST_TRIED:
        raise PasswordError(
            f"{job.name}: the password opens none of the {MOST_TRIED} oldest keys, of {len(oldest)} that lie there",
            guidance="correct the `password` source, or name the key that it opens: key = ID, from the host's `restic key list`",
        )
    if job.key and not meant:
        guidance = "correct the repository's `key`, or remove it"
        raise PasswordError(f"{job.name}: no sound key's id begins with {job.key}", guidance=guidance)
    if is_wrong:
        raise PasswordError(
            f"{job.name}: wrong password: no key of the repository opens with it", guidance="correct the repository's `password` source"
        )
    raise PasswordError(
        f"{job.name}: the repository's keys are damaged or missing: no version of any is sound",
        guidance="put a key file back from a copy, or from the host's local repository",
    )
