"""`maintainer restic fetch`: restic, where the machine's own is too old or none is there."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ConfigurationError, ExitCode
from maintainer.edges import restic
from maintainer.edges.resticrelease import RELEASE, RELEASES, fetch

MIRROR = "RESTIC_RELEASES"
"""The environment's variable that names another server with the release's paths."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "restic", f"It is found there by every command. ${MIRROR} names a mirror of {RELEASES}.")
    parser.add_argument("action", choices=("fetch",), help=f"fetch restic {RELEASE}, if this machine has none that will do")
    text = "where to, whatever there is already (default: beside this program)"
    parser.add_argument("--to", type=Path, metavar="FOLDER", default=None, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fetch it, unless there is one."""
    if arguments.to is None:
        try:
            there = restic.find()
        except ConfigurationError:
            pass
        else:
            return _tell(arguments, Path(there.binary), there.version, is_new=False)
    path = fetch(arguments.to or Path(sys.prefix) / "bin", os.environ.get(MIRROR, RELEASES))
    return _tell(arguments, path, RELEASE, is_new=True)


def _tell(arguments: argparse.Namespace, path: Path, version: str, *, is_new: bool) -> int:
    if arguments.json:
        say(json.dumps({"path": str(path), "version": version, "fetched": is_new}))
    else:
        say(f"restic {version} at {path}{'' if is_new else ' will do: nothing was fetched'}")
    return ExitCode.COMMITTED
