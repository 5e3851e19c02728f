"""`maintainer`: the commands, and one switch from errors to exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="maintainer", description="Safe, unattended maintenance of restic backups in versioned S3 buckets."
    )
    parser.add_argument("--version", action="version", version=f"maintainer {version('maintainer')}")
    parser.parse_args(argv)
    parser.print_help(sys.stderr)
    return 2
