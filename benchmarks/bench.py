"""A sandbox with one repository in it, for as long as a benchmark lasts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maintainer.edges.clock import SystemClock
from maintainer.sandbox import daemon
from tests.support.repositories import Repository


@contextmanager
def repository(files: int, size: int, latency_ms: int = 0) -> Iterator[Repository]:
    """Yield a repository with two snapshots of so many files of `size` bytes, in a store that answers after `latency_ms`."""
    directory = Path(tempfile.mkdtemp(prefix="maintainer-bench-"))
    try:
        sandbox = daemon.start(directory / "sandbox", SystemClock(), daemon.Wanted(machines=False, latency_ms=latency_ms))
        made = Repository(sandbox, "bench", directory)
        made.init()
        for seed in range(files):
            made.write(f"file{seed}", size, seed)
        made.backup(good=False)
        made.write("file0", size, files)
        made.backup(good=False)
        yield made
    finally:
        daemon.stop(directory / "sandbox", SystemClock())
        shutil.rmtree(directory)
