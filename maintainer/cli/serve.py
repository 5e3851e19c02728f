"""`maintainer serve REPOSITORY`: the verified view, read-only, for restic restore and mount: also in the middle of an attack."""

from __future__ import annotations

import argparse
import json
import signal

from maintainer.agent.picture import verified
from maintainer.cli import common
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ExitCode
from maintainer.core.events import escape
from maintainer.core.findings import Kind, Standing
from maintainer.core.shortids import shortened
from maintainer.core.view import View
from maintainer.edges import secrets
from maintainer.edges.viewserver import Permissions

SHOWN = 10
"""How many suspect snapshots are named."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "serve")
    parser.add_argument("repository", metavar="REPOSITORY", help="a repository's name in the configuration")
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    chosen = common.settings(arguments)
    repository = common.only(chosen, arguments.repository)
    seen = beholder("serve", chosen, repository)
    password = secrets.read(seen.job.password, chosen.access())
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the server's threads are made, which inherit it
    with seen.serve(View(verified(seen, lambda: password)), Permissions()) as server:
        doubted = [
            one.finding for one in seen.fold.findings.values() if one.finding.kind is Kind.SUSPECT and one.standing is not Standing.GONE
        ]
        if arguments.json:
            said = {one.subject: one.detail for one in doubted}
            say(json.dumps({"repository": server.address, "suspect": said}))
        else:
            say(f"restic -r {server.address} --no-lock snapshots      (the repository's own password; Ctrl-C ends the view)")
            if doubted:
                say("in the view are suspect snapshots: restore by id, for `latest` may be one of them")
            for one in doubted[:SHOWN]:
                say(escape(f"  {shortened(one.subject, seen.digits)}: {one.detail}"))
            if len(doubted) > SHOWN:
                say(f"  and {len(doubted) - SHOWN} more: maintainer status {repository.name}")
        signal.sigwait(signals)
    return ExitCode.COMMITTED
