"""`maintainer enroll HOST --rebase`: go on with a new ledger where the state store was lost."""

from __future__ import annotations

import argparse
import getpass
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from maintainer.agent import unlock
from maintainer.agent.pipeline import contact
from maintainer.agent.run import Run, short
from maintainer.cli.output import say
from maintainer.core import abridging
from maintainer.core.amounts import counted
from maintainer.core.entries import decode_entry
from maintainer.core.errors import ArgumentError, ExitCode, NotFoundError, Problem
from maintainer.core.events import escape
from maintainer.core.moments import from_text, to_minute, to_text
from maintainer.core.repofiles import FileType
from maintainer.core.versions import ObjectVersion
from maintainer.format.boundary import FormatError, reader

SHOWN = 10
"""How many earlier ledgers are named. A host can forge any number of them before first contact."""
LONGEST = 100
"""Characters of a name that such an object tells."""


def rebase(arguments: argparse.Namespace, seen: Run, password: Callable[[], str]) -> int:
    """Declare lost whatever ledger was here before this one, so that the policy applies again. ArgumentError where there was none.

    No delete marker is put or taken away: what lies under one stays there, in its versions, until a person accepts the repository.
    """
    name = seen.job.name
    seen.survey()
    seen.state.probe()
    seen.read_ledger()
    earlier = list(islice(unlock.earlier_identities(seen), SHOWN + 1))
    if not earlier or seen.fold.rebased:
        found = "the earlier ledger was declared lost already" if earlier else "no ledger was here before this one"
        raise ArgumentError(
            (Problem(f"{name} --rebase", found, "traces of a ledger that is lost", f"maintainer plan --repository {name}"),)
        )
    told = list(_told(seen, earlier))
    if not arguments.dry_run:
        contact(seen, password)
        at = to_text(seen.now)
        seen.state.append_judgement("rebase", (one.key for one in earlier), who=getpass.getuser(), at=at)
    if arguments.json:
        say(json.dumps({"repository": name, "supersedes": [one.key for one in earlier], "dry_run": arguments.dry_run, "told": told}))
        return ExitCode.COMMITTED
    for line in told:
        say(escape(line))
    say("nothing was done: without --dry-run it is" if arguments.dry_run else "the next run heeds it")
    return ExitCode.COMMITTED


def _told(seen: Run, earlier: Sequence[ObjectVersion]) -> Iterator[str]:
    """Say what is superseded, and what that means."""
    for one in earlier[:SHOWN]:
        yield f"supersedes ledger {short(one.key)[:8]}, {_described(seen, one)}"
    if earlier[SHOWN:]:
        yield "supersedes all others that lie here"
    kinds = (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT, FileType.KEY)
    files = (history for kind in kinds for history in seen.histories.histories(f"{kind.value}/"))
    hidden = sum(history.current.is_marker and history.file is not None for history in files)
    if hidden:
        yield (
            f"{counted(hidden, 'file')} under delete markers: deleted by the lost ledger, or by somebody else. They stay as they are, "
            f"with their versions, until `maintainer accept {seen.job.name}` lets them go; what the next run adopts of them "
            "`maintainer undelete` brings back"
        )
    yield "its judgements are lost: endorse, reject and accept again what this ledger reports"
    yield (
        "hosts and paths are known by [repository.expect]: the policy applies from the second run on"
        if seen.job.expect
        else f"nothing is forgotten until `maintainer accept {seen.job.name}` confirms its hosts and paths"
    )


def _described(seen: Run, identity: ObjectVersion) -> str:
    """Say when a ledger was begun, as its first entry tells, which is what its identity object holds."""
    there = f"here since {to_minute(identity.last_modified)}"
    try:
        at, run_id, repository = read_first_entry(seen.store.read(identity, unlock.LONGEST_IDENTITY))
        return f"{there}, begun at {at} by run {run_id} for {repository}"
    except (NotFoundError, FormatError):
        return f"{there}, which is no entry of maintainer's: somebody forged it, or a newer release wrote it"


@reader("first entry")
def read_first_entry(body: bytes) -> tuple[str, str, str]:
    """Read what a host may have written: when, by which run and for which repository a ledger was begun; FormatError."""
    entry = decode_entry(body)
    return to_minute(from_text(entry.at)), abridging.text(str(entry.run_id), LONGEST), abridging.text(str(entry.repository), LONGEST)
