"""`maintainer ledger show | verify` and `maintainer logs RUN`: what is kept in the state store."""

from __future__ import annotations

import argparse
import json

from maintainer.cli import common
from maintainer.cli.commands import declare
from maintainer.cli.output import event_printer, say
from maintainer.core import segments
from maintainer.core.amounts import counted
from maintainer.core.entries import Segment
from maintainer.core.errors import ArgumentError, EventError, ExitCode, NotFoundError, Problem
from maintainer.core.events import decode, escape
from maintainer.core.ledger import Ledger
from maintainer.edges.shelf import RecordShelf
from maintainer.edges.statestore import StateStore


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare both commands."""
    parser = declare(commands, "ledger")
    parser.add_argument(
        "action", choices=("show", "verify"), help="print every entry; or follow the chain from its first entry to its last"
    )
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)
    logs = declare(commands, "logs")
    logs.add_argument("run_id", metavar="RUN", help="a run's id, or `last`")
    common.add_choice(logs)
    common.add_config(logs)
    logs.set_defaults(run=run_logs)


def run(arguments: argparse.Namespace) -> int:
    """Print or verify."""
    chosen = common.settings(arguments)
    code = ExitCode.COMMITTED
    for one in chosen.chosen(arguments.repository, arguments.group):
        state = common.state(chosen, one)
        chains = state.chains()
        if arguments.action == "show":
            for body in (*chains.entries, *chains.judgements):
                _show(body, state)
            continue
        ledger = Ledger(RecordShelf(), chains.entries, chains.judgements, state.read_segments, verify=True)
        known = ledger.fold
        links = f"{counted(known.head[0], 'entry', 'entries')} and {counted(known.judgements, 'judgement')}"
        say(f"{one.name}: {links} verified; head {known.head[1]}")
        if not known.head[0]:
            say("  ! there is no entry: no run has been here yet, or this state store is another than before, or was emptied")
            code = ExitCode.ATTENTION
        for key in chains.altered:
            say(f"  ! {key} was put over or deleted; its oldest version, which counts, is unharmed")
            code = ExitCode.ATTENTION
        for key in sorted(state.strange | {*chains.strange, *(f"judgements/{number:08d}" for number in ledger.void)}):
            say(f"  ! {escape(key)} is none of maintainer's, and ignored")
            code = ExitCode.ATTENTION
    return code


def _show(body: bytes, state: StateStore) -> None:
    """Print a link as it is, and then what it changes as lines of their own, where that lies in segments."""
    say(escape(body.decode(errors="backslashreplace")))
    try:
        named = [Segment(*one) for one in json.loads(body).get("segments", ())]
    except (ValueError, TypeError, AttributeError):
        return  # a judgement that nobody can read, and nothing heeds
    for one, body_of_one in zip(named, state.read_segments(one.name for one in named), strict=True):
        for key, text in segments.read(one, body_of_one):
            say(f'{{"segment":"{one.name}","key":{json.dumps(key)},"record":{text}}}')


def run_logs(arguments: argparse.Namespace) -> int:
    """Print a run's events."""
    chosen = common.settings(arguments)
    show = event_printer(as_json=arguments.json)
    found = False
    for one in chosen.chosen(arguments.repository, arguments.group):
        state = common.state(chosen, one)
        run_id = next(reversed(state.runs()), "") if arguments.run_id == "last" else arguments.run_id
        try:
            body = state.events(run_id)
        except NotFoundError:
            continue
        found = True
        for line in body.decode(errors="backslashreplace").splitlines():
            try:
                show(decode(line))
            except EventError:  # of another release, or altered
                say(escape(line))
    if not found:
        what = "no run has left any event yet" if arguments.run_id == "last" else "no events of it"
        do = "the last line of `maintainer run` names its run"
        raise ArgumentError((Problem(f"run {arguments.run_id}", what, "the id of a run that is over, or `last`", do),))
    return ExitCode.COMMITTED
