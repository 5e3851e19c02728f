"""Which process launched an instance, as a tag's value, and whether it is known to be dead."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from maintainer.core.moments import from_text
from maintainer.edges.compute.shapes import Marks
from maintainer.edges.procfs import started_at


def here() -> str:
    """Name this process so that no other, on whatever machine and after whatever reboot, has the same name."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{started_at(pid)}"


def is_dead(name: str) -> bool:
    """Tell whether the process is known to be dead. One on another machine, or in another container, may live."""
    machine, process, started = ["", "", "", *name.rsplit("/", 2)][-3:]
    return machine == _machine() and process.isdigit() and started_at(int(process)) != started


def why_orphaned(marks: Marks, now: datetime) -> str:
    """Say why nobody follows what carries these marks any more; empty where somebody may."""
    if marks.deadline and from_text(marks.deadline) < now:
        return f"its deadline was {marks.deadline}"
    return "the controller that launched it is dead" if is_dead(marks.controller) else ""


def _machine() -> str:
    """Name this boot of this machine, and its process namespace: ids mean something there alone."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink().name.strip('pid:[]')}"
