"""What every command prints with: lines for people, JSON for programs."""

from __future__ import annotations

import sys
from typing import TypeAlias

Line: TypeAlias = str


def say(line: Line = "") -> None:
    """Print one line for a person."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
