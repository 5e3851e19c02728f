"""`maintainer completion bash | zsh | tcsh`: what makes a shell complete our commands."""

from __future__ import annotations

import argparse

import shtab

from maintainer.cli.output import say
from maintainer.core.errors import ExitCode

SHELLS = ("bash", "zsh", "tcsh")
"""Of those that shtab knows the ones that a test drives."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("completion", help='print completions: eval "$(maintainer completion bash)" in ~/.bashrc')
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    say(shtab.complete(arguments.everything, arguments.shell))
    return ExitCode.COMMITTED
