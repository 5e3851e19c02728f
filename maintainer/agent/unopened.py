"""Files of before first contact that no key of ours opens: where another key may, they wait for a person."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from maintainer.agent import unlock
from maintainer.agent.admitting import Admission, kind_of
from maintainer.agent.damage import was_there
from maintainer.agent.run import Opened, Run
from maintainer.core.entries import UNOPENED
from maintainer.core.findings import Finding, Kind
from maintainer.core.repofiles import FileType
from maintainer.format.boundary import FormatError, UnopenedError


def settle_unopened(run: Run, failed: Mapping[str, FormatError], opening: Collection[str], opened: Opened, made: Admission) -> None:
    """Evict files that can not be read, with why; but what another key may open stays as it is, and is told.

    That is what was there before first contact and does not authenticate, where a sound key file lies of another password than ours; or
    where not one of its kind opens (`opening` are the new ones that do): then it is the key that is wrong. Junk can not bring that about
    where there is an honest file.
    """
    waiting = [key for key, error in failed.items() if isinstance(error, UnopenedError) and was_there(run, run.histories[key])]
    if UNOPENED in run.fold.let_go:
        waiting = []
    if waiting and not unlock.has_other_key(run, opened):
        known = {kind_of(key) for key in opening}
        known |= {kind for kind in map(kind_of, waiting) if next(run.admitted(kind).below(), None) is not None}
        waiting = [key for key in waiting if kind_of(key) not in known and kind_of(key) is FileType.SNAPSHOT]
    for key in waiting:
        run.findings.append(Finding(Kind.UNOPENED, key, str(failed[key]), run.standing[key].version.version_id))
        run.standing.pop(key)
    for key in failed.keys() - set(waiting):
        made.condemn(Kind.GARBAGE, key, str(failed[key]))
