"""`maintainer completion bash | zsh | fish | tcsh`: what makes a shell complete our commands."""

from __future__ import annotations

import argparse

import shtab

from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ExitCode

SHELLS = ("bash", "zsh", "fish", "tcsh")
"""Of those that shtab knows the ones that a test drives."""
MORE = (
    'In ~/.bashrc or ~/.zshrc: eval "$(maintainer completion bash)", or zsh. In fish: '
    "maintainer completion fish > ~/.config/fish/completions/maintainer.fish. In tcsh: source a file that holds what it prints."
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "completion", MORE)
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=f"one of {', '.join(SHELLS)}")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    say(shtab.complete(arguments.everything, arguments.shell))
    return ExitCode.COMMITTED
