"""`maintainer`: the commands, and one switch from errors to exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from maintainer.core.errors import ExitCode, MaintainerError

MODULES = {
    "run": "run",
    "plan": "plan",
    "status": "status",
    "accept": "judge",
    "endorse": "judge",
    "reject": "judge",
    "undelete": "judge",
    "ack": "judge",
    "logs": "ledger",
    "ledger": "ledger",
    "serve": "serve",
    "key": "key",
    "sweep": "sweep",
    "gateway": "gateway",
    "enroll": "enroll",
    "retire": "retire",
    "rebuild": "rebuild",
    "doctor": "doctor",
    "drill": "drill",
    "image": "image",
    "sandbox": "sandbox",
    "completion": "completion",
}
"""Which module declares a command. Only the one that is called is loaded: a second's wait before each command would be ours."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="maintainer", description="Safe, unattended maintenance of restic backups in versioned S3 buckets."
    )
    parser.add_argument("--version", action="version", version=f"maintainer {version('maintainer')}")
    parser.add_argument("--config", type=Path, default=None, help="the configuration, for every command that reads one")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    given = sys.argv[1:] if argv is None else argv
    called = _called(given)
    is_one = called in MODULES and called != "completion"
    for name in dict.fromkeys([MODULES[called]] if is_one else MODULES.values()):
        import_module(f"maintainer.cli.{name}").add(commands)
    arguments = parser.parse_args(given, argparse.Namespace(everything=parser))
    try:
        return int(arguments.run(arguments))
    except MaintainerError as error:
        sys.stderr.write(f"maintainer: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED


def _called(words: Sequence[str]) -> str:
    """Return the first word that is neither an option nor its value."""
    rest = iter(words)
    for word in rest:
        if word == "--config":
            next(rest, "")
        elif not word.startswith("-"):
            return word
    return ""
