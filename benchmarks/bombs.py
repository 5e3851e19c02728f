"""Runs that find what would inflate to gigabytes, or wants them: how long each takes beside a quiet one, and the agent's most memory."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.bench import repository, watched
from benchmarks.result import Result
from maintainer.core.job import Keep
from maintainer.drill import bombs
from tests.support.agents import Maintained

BOMBS = {
    "snapshot": bombs.snapshot,
    "index": bombs.index,
    "config": bombs.config,
    "key": bombs.key,
    "pack, restic has 512 MiB": bombs.pack,
    "packs of impossible blobs": bombs.pack_of_impossible_blobs,
    "index of a million empty packs": bombs.index_of_empty_packs,
    "twelve indexes of packs that are nowhere": bombs.indexes_of_packs_that_are_nowhere,
}
RESTICS_MEMORY = 512 << 20


def measure() -> Result:
    """Throw each into one repository in turn."""
    rows: list[dict[str, str | float]] = []
    totals: dict[str, float] = {}
    with repository(1, 300_000) as made:
        maintained = Maintained(made, Keep(last=1000))
        maintained.expect_host()
        maintained.finish(maintained.start())
        for subject, attack in {"quiet": lambda _: None, **BOMBS}.items():
            attack(made)
            seconds, _, mebibytes = watched(maintained.start(replace(maintained.job(), memory=RESTICS_MEMORY)))
            totals[subject] = seconds
            rows.append({"subject": subject, "total_s": round(seconds, 1), "memory_mib": round(mebibytes)})
    return Result("bombs", rows, {f"{subject}/quiet": round(totals[subject] / totals["quiet"], 1) for subject in BOMBS})
