"""What the kernel says of processes (proc(5))."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def started_at(pid: int) -> str | None:
    """Return when a process started, in ticks: with its id that names it for good. None when it is gone, or dead and unreaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def with_environment(name: str, value: str) -> Iterator[int]:
    """Yield the living processes that were started with this in their environment, of those that we may look at."""
    wanted = f"{name}={value}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found = (process / "environ").read_bytes()
        except OSError:
            continue
        if wanted in found.split(b"\0") and started_at(int(process.name)) is not None:
            yield int(process.name)
