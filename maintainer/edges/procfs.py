"""What the kernel says of processes (proc(5))."""

from __future__ import annotations

from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return when a process started, in ticks: with its id that names it for good. None when it is gone, or dead and unreaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
