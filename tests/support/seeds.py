"""Going on by hand with a test that a seed chooses: `python -m tests.attacks.NAME SECONDS [SEED]`."""

from __future__ import annotations

import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from maintainer.sandbox.daemon import Sandbox
from tests.support.memory import memory_sandbox

FIRST = 1_000
"""After the seeds of the suite."""


def go_on(live: Callable[[Sandbox, Path, int], None]) -> int:
    """Live through seed after seed, each in a sandbox of its own, for so many seconds; say which failed, and return whether any did."""
    first = int(sys.argv[2]) if len(sys.argv) > 2 else FIRST
    until, seed, failed = time.monotonic() + float(sys.argv[1]), first, 0
    while time.monotonic() < until:
        seed += 1
        with memory_sandbox() as sandbox, tempfile.TemporaryDirectory() as root:  # of its own: its clock goes on, and never back
            try:
                live(sandbox, Path(root), seed)
            except Exception:  # noqa: BLE001 - the next seed may find another
                failed += 1
                print(f"seed {seed}:\n{traceback.format_exc()[-3000:]}", flush=True)
    print(f"{seed - first} seeds, {failed} failed", flush=True)
    return bool(failed)
