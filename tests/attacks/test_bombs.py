"""Attack 22: what inflates to gigabytes, or wants them, is set aside at a limit; the run goes on, and takes no more memory than ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from maintainer.drill import bombs
from maintainer.drill.target import Target
from tests.support.agents import Maintained, Ran

MOST_MEMORY_KIB = 256 << 10
BOMBS: dict[str, tuple[Callable[[Target], None], str]] = {
    "snapshot": (bombs.snapshot, "garbage"),
    "index": (bombs.index, "too-large-to-judge"),
    "pack": (bombs.pack, "garbage"),
    "pack of impossible blobs": (bombs.pack_of_impossible_blobs, "garbage"),
    "index of a million empty packs": (bombs.index_of_empty_packs, "poisoned-index"),
    "indexes of packs that are nowhere": (bombs.indexes_of_packs_that_are_nowhere, "poisoned-index"),
    "config": (bombs.config, "overwritten"),
    "key": (bombs.key, "garbage"),
}


def measured(maintained: Maintained) -> tuple[Ran, int]:
    """Run the agent with little memory for restic; return the most memory that the agent itself had, in KiB."""
    most = 0
    process = maintained.start(replace(maintained.job(), memory=512 << 20))

    def watch() -> None:
        nonlocal most
        while process.poll() is None:
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text()
                most = max(most, int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]))
            time.sleep(0.02)

    watcher = Thread(target=watch)
    watcher.start()
    ran = maintained.finish(process)
    watcher.join()
    return ran, most


@pytest.mark.matrix
@pytest.mark.parametrize(("attack", "kind"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_set_aside_in_little_memory(maintained: Maintained, attack: Callable[[Target], None], kind: str) -> None:
    attack(maintained.repository)
    ran, memory = measured(maintained)
    assert (ran.code, set(ran.findings())) == (3, {kind}), ran.why()
    assert 0 < memory <= MOST_MEMORY_KIB
    maintained.repository.restic("check", "--no-lock", "--read-data")
    for snapshot in maintained.repository.trees:
        maintained.repository.verify(snapshot)
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
