"""A sandbox with one repository in it, for as long as a benchmark lasts."""

from __future__ import annotations

import re
import resource
import shutil
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

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


class Watched(NamedTuple):
    """What an agent took: time, its CPU time (its restics' too, and not the store's), and the most memory (without its restics')."""

    seconds: float
    cpu_s: float
    mebibytes: float


def watched(process: Popen[str]) -> Watched:
    """Wait for an agent that was just started."""
    clock = SystemClock()
    started, before = clock.monotonic(), _cpu_s()
    with ThreadPoolExecutor(1) as beside:
        peak = beside.submit(_most_memory, process)
        process.communicate()
    if process.returncode not in (0, 3):
        raise RuntimeError(f"the run ended with {process.returncode}")
    return Watched(clock.monotonic() - started, _cpu_s() - before, peak.result())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # of those that have ended, and whose end was waited for
    return used.ru_utime + used.ru_stime


def _most_memory(process: Popen[str]) -> float:
    most = 0
    while process.poll() is None:
        with suppress(OSError, TypeError):  # it has just ended
            status = Path(f"/proc/{process.pid}/status").read_text()
            most = max(most, int(re.search(r"VmHWM:\s*(\d+)", status)[1]))  # type: ignore[index]  # of one that has ended there is none
        threading.Event().wait(0.05)
    return most / 1024
