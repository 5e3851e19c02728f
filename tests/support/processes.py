"""What the kernel says of processes that tests start."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path


def children(process: int) -> list[int]:
    """Return the ids of what a process has started and that has not ended."""
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            found += map(int, (task / "children").read_text().split())
    return found


def agent_of(controller: int) -> int:
    """Return the agent that a controller has started on this machine."""
    (agent,) = children(controller)
    return agent


def runs_restic(agent: int, word: str) -> bool:
    """Tell whether a restic command with this word is at work for an agent."""
    for child in children(agent):
        with suppress(OSError):
            if word.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                return True
    return False


def stop(process: int) -> None:
    """Stop a process, and wait until it has: a signal that comes earlier may be heeded first."""
    os.kill(process, signal.SIGSTOP)
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)


def is_pending(process: int, number: int) -> bool:
    """Tell whether a signal was sent to a process that has not heeded it yet, because it is stopped."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return bool((int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)) >> (number - 1) & 1)
