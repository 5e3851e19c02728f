"""What the kernel says of processes that tests start."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def agent_of(controller: int) -> int:
    """Return the agent that a controller has started on this machine."""
    (agent,) = [int(child) for task in Path(f"/proc/{controller}/task").iterdir() for child in (task / "children").read_text().split()]
    return agent


def stop(process: int) -> None:
    """Stop a process, and wait until it has: a signal that comes earlier may be heeded first."""
    os.kill(process, signal.SIGSTOP)
    while Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)


def is_pending(process: int, number: int) -> bool:
    """Tell whether a signal was sent to a process that has not heeded it yet, because it is stopped."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
    return bool((int(lines["SigPnd"], 16) | int(lines["ShdPnd"], 16)) >> (number - 1) & 1)
