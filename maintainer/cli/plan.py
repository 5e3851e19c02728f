"""`maintainer plan`: survey and judge, change nothing, and say what a run would do and why."""

from __future__ import annotations

import argparse

from maintainer.cli import common
from maintainer.cli.commands import declare
from maintainer.cli.run import launch


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "plan", "It also says what probation means for each host.")
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return launch(arguments, plan_only=True)
