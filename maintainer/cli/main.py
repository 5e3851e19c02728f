"""`maintainer`: the commands, and one switch from errors to exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from maintainer import __version__
from maintainer.cli.commands import COMMANDS, declare
from maintainer.core.errors import OUTCOMES, ExitCode, MaintainerError

EPILOG = "\n".join(
    [
        "`maintainer COMMAND --help` says more of one, with an example. Exit codes:",
        *(f"  {code:<4} {said}" for code, said in OUTCOMES.items()),
    ]
)


class Parser(argparse.ArgumentParser):
    """A parser of which every option is written out: a part of a word must not mean what only the next release may have two of."""

    def __init__(self, **more: Any) -> None:
        """Take what argparse's own takes; those of commands are of this class too."""
        super().__init__(**{"allow_abbrev": False, **more})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser: argparse.ArgumentParser = Parser(
        prog="maintainer",
        description="Safe, unattended maintenance of restic backups in versioned S3 buckets.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"maintainer {__version__}")
    parser.add_argument("--config", type=Path, default=None, help="the configuration, for every command that reads one")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    given = sys.argv[1:] if argv is None else argv
    called = _called(given)
    if called and called not in COMMANDS:
        nearest = [MEANT[called]] if called in MEANT else get_close_matches(called, COMMANDS, n=1)
        parser.exit(
            ExitCode.USAGE, f"maintainer: no command {called!r}{f'; did you mean `{nearest[0]}`?' if nearest else ''}\n    → {LIST}\n"
        )
    if not called:
        for name in COMMANDS:
            declare(commands, name)
    else:
        # Only the called command's module is loaded: the others' imports would be a second's wait before each command.
        wanted = COMMANDS.values() if called == "completion" else [COMMANDS[called]]
        for module in dict.fromkeys(command.module for command in wanted):
            import_module(f"maintainer.cli.{module}").add(commands)
    arguments, strange = parser.parse_known_args(given, argparse.Namespace(everything=parser))
    if strange:
        parser.exit(ExitCode.USAGE, f"maintainer {called}: {_why_strange(commands.choices[called], called, strange[0])}\n")
    try:
        return int(arguments.run(arguments))
    except MaintainerError as error:
        sys.stderr.write(f"maintainer: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


LIST = "maintainer --help lists them"
MEANT = {"restore": "serve", "mount": "serve", "forget": "run", "prune": "run", "check": "run", "init": "enroll", "backup": "enroll"}
"""restic's own commands, and which of ours does what they do."""


def _why_strange(command: argparse.ArgumentParser, name: str, word: str) -> str:
    """Say what to write in place of a word that a command does not take: the nearest option, or the one that names a repository."""
    options = command._option_string_actions  # noqa: SLF001 - argparse has no public way to ask
    nearest = get_close_matches(word.partition("=")[0], options, n=1) if word.startswith("-") else []
    if nearest:
        do = f"did you mean {nearest[0]}?"
    elif "--repository" in options and not word.startswith("-"):
        do = f"to name a repository: maintainer {name} --repository {word}"
    else:
        do = f"maintainer {name} --help lists what it takes"
    return f"it does not take {word!r}\n    → {do}"


def _called(words: Sequence[str]) -> str:
    """Return the first word that is neither an option nor its value."""
    rest = iter(words)
    for word in rest:
        if word == "--config":
            next(rest, "")
        elif not word.startswith("-"):
            return word
    return ""
