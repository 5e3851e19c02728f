"""`maintainer`: the commands, and one switch from errors to exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from maintainer.cli import image, judge, ledger, plan, run, sandbox, serve, status, sweep
from maintainer.core.errors import ExitCode, MaintainerError

COMMANDS = (run, plan, status, judge, ledger, serve, sweep, image, sandbox)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="maintainer", description="Safe, unattended maintenance of restic backups in versioned S3 buckets."
    )
    parser.add_argument("--version", action="version", version=f"maintainer {version('maintainer')}")
    parser.add_argument("--config", type=Path, default=None, help="the configuration, for every command that reads one")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except MaintainerError as error:
        sys.stderr.write(f"maintainer: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
