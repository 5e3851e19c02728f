"""New key files: those that a person accepted are pinned; strange ones are told of, and never drive out another."""

from __future__ import annotations

import hashlib

from maintainer.agent.admitting import Admission
from maintainer.agent.run import Opened, Run, short
from maintainer.core.amounts import counted
from maintainer.core.findings import Finding, Kind
from maintainer.core.records import State
from maintainer.core.repofiles import MAXIMA, FileType
from maintainer.format import files

TRIED_KEYS = 20
"""How many keys restic tries with its password before it gives up (its `maxKeys`): those of the repository and strange ones together."""
TOLD_KEYS = 3
"""How many new keys are told of one by one: a person adds one, or two."""
TOO_MANY_KEYS = f"more keys than the {TRIED_KEYS} that restic tries"


def admit_keys(run: Run, new: list[str], opened: Opened, made: Admission) -> None:
    """Pin the keys that a person accepted. Of the others as many stay as restic still tries; nobody may use them, but they are told of."""
    strangers: list[str] = []
    pinned = sum(1 for _ in run.fold.records.keys_in(f"{FileType.KEY.value}/", State.ADMITTED))
    for key in sorted(new, key=lambda key: (key not in run.fold.accepted_keys, run.standing[key].first_seen, key)):
        if key in run.fold.accepted_keys:
            made.admit(key)
            pinned += 1
        elif pinned + len(strangers) < TRIED_KEYS:
            if why := _why_no_key(run, key, opened):
                made.condemn(Kind.GARBAGE, key, why)
            else:
                strangers.append(key)
        else:
            made.evict(key, TOO_MANY_KEYS)
    _tell_of_strangers(run, strangers, [key for key in new if key in made.changes and made.changes[key].reason == TOO_MANY_KEYS])


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


def _of_all(keys: list[str]) -> str:
    """Return the evidence of a finding about several objects: the same for the same ones."""
    return hashlib.sha256(" ".join(sorted(keys)).encode()).hexdigest()[:16]
