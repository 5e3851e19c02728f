"""A control group of a machine's own, in the unified hierarchy (cgroup2): what systemd needs to be its PID 1."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from maintainer.edges.clock import SystemClock

_DELEGATED = ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
"""What a group's new owner must own (kernel documentation, "Control Group v2", Delegation)."""
_GONE_WITHIN_S = 5.0
_TAKE_S = 0.02


def make(name: str, owner: int) -> Path | None:
    """Make a group below our own, for root of a machine who is `owner` outside; None where this machine lets us have none."""
    if (ours := _ours()) is None:
        return None
    made = ours / name
    try:
        made.mkdir()
        (made / "cgroup.procs").open("r+b").close()
        for file in _DELEGATED:
            os.chown(made / file, owner, -1)
    except OSError:
        with suppress(OSError):
            made.rmdir()
        return None
    return made


def join(group: Path) -> None:
    """Move this process into a group."""
    (group / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")


def remove(group: Path) -> None:
    """End whatever is left in a group, and remove it with all below."""
    clock = SystemClock()
    limit = clock.monotonic() + _GONE_WITHIN_S
    while group.exists() and clock.monotonic() < limit:
        with suppress(OSError):
            (group / "cgroup.kill").write_text("1", encoding="ascii")
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        if group.exists():
            clock.sleep(_TAKE_S)


def _ours() -> Path | None:
    """Return the group of this process in the unified hierarchy, as a directory."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    places = [(line.split()[3], line.split()[4]) for line in lines if " - cgroup2 " in line]
    inside = next((line[3:] for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines() if line.startswith("0::")), None)
    if inside is None:
        return None
    found = [Path(where) / inside.lstrip("/") for root, where in places if root == "/"]
    return next((path for path in found if path.is_dir()), None)
