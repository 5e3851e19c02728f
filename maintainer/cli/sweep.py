"""`maintainer sweep`: end the instances that no controller follows any more."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from maintainer.cli import common, compute
from maintainer.cli.output import event_printer, say
from maintainer.controller import sweep
from maintainer.core.errors import ExitCode
from maintainer.core.moments import to_text
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.statestore import new_run_id


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("sweep", help="end instances of ours that were left behind")
    parser.add_argument("--dry-run", action="store_true", help="only say which")
    text = "all of this configuration's instances, also those that another machine's controller may still follow"
    parser.add_argument("--all", action="store_true", help=text)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    chosen = common.settings(arguments)
    clock = SystemClock()
    recorder = Recorder(new_run_id(to_text(clock.now())), "controller", clock, event_printer(as_json=arguments.json))
    ec2 = compute.ec2(chosen, recorder)
    orphans = sweep.find(ec2, compute.owner(chosen), clock, everything=arguments.all)
    if not arguments.dry_run:
        sweep.end(ec2, orphans, recorder)
    elif arguments.json:
        say(json.dumps([asdict(one) for one in orphans], indent=2))
    else:
        for one in orphans:
            say(f"{one.id} of run {one.marks.run_id} ({one.marks.group}): {one.why}")
    if not orphans and not arguments.json:
        say("nothing was left behind")
    return ExitCode.COMMITTED
