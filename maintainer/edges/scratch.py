"""Directories that a process needs for a while: what a killed one left goes with the next that is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path

from maintainer.core.errors import DiskFullError

PREFIX = "mv-"
"""Short: a unix socket's path holds 107 bytes at most, and the default temporary directory takes some of them."""
LOCK = "lock"


def disk() -> Path:
    """Return where what is large may lie for a while: on a disk, since /tmp may be memory."""
    return Path(os.environ.get("TMPDIR") or "/var/tmp")  # noqa: S108 - what is made there is our own


def full(error: Exception) -> DiskFullError:
    """Return the error for a disk without room."""
    return DiskFullError(
        f"no space is left in {disk()}: {error}", guidance="give TMPDIR a larger disk; nothing is lost, and the next run begins anew"
    )


class Scratch:
    """One directory that only this user can read; `path` is gone with the object, or on `close`."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make it, in the machine's temporary directory or in `folder`, after those of dead processes have been removed there."""
        _remove_abandoned(folder or Path(tempfile.gettempdir()))
        made = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=folder))
        # Held until it is closed, or the kernel does it; no child inherits it. Before that nobody looks for it by its name.
        lock = os.open(made / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.path = made.rename(made.with_name(made.name.removeprefix(".")))
        self.close = weakref.finalize(self, _remove, self.path, lock)


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    """Remove what processes of this user left that had no chance to."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or another process was faster
            if path.stat().st_uid != os.geteuid():
                continue
            lock = os.open(path / LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)
