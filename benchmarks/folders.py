"""Nights of a repository with many folders, of which restic reads every tree: with its cache, and without."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from unittest.mock import patch

from benchmarks.bench import repository
from benchmarks.result import Result
from maintainer.core.job import Keep
from maintainer.edges.clock import SystemClock
from tests.support.agents import Maintained

FOLDERS = 3_000
FULL = SimpleNamespace(free=0)


def measure() -> Result:
    """Run nights with one changed folder in a hundred, every other one as if the disk were full."""
    rows: list[dict[str, str | float]] = []
    totals: dict[str, list[float]] = {"with": [], "without": []}
    with repository(1, 1_000) as made:
        for number in range(FOLDERS):
            (made.source / f"{number % 100}" / f"{number}").mkdir(parents=True)
            made.write(f"{number % 100}/{number}/file", 2_000, number)
        maintained = Maintained(made, keep=Keep(last=1000))
        maintained.expect_host()
        made.backup(good=False)
        maintained.run()
        for night in range(3):
            for subject, times in totals.items():
                for number in range(0, FOLDERS, 100):
                    made.write(f"{number % 100}/{number}/file", 2_000, 1_000_000 * (1 + night) + number + (subject == "with"))
                made.backup(good=False)
                with patch.object(shutil, "disk_usage", (lambda _: FULL) if subject == "without" else shutil.disk_usage):
                    seconds = _night(maintained)
                times.append(seconds)
                rows.append({"subject": f"night {subject} restic's cache", "folders": FOLDERS, "total_s": round(seconds, 2)})
    medians = {subject: sorted(times)[1] for subject, times in totals.items()}
    return Result("folders", rows, {"without/with, medians": round(medians["without"] / medians["with"], 1)})


def _night(maintained: Maintained) -> float:
    clock = SystemClock()
    started = clock.monotonic()
    ran = maintained.run()
    if ran.code not in (0, 3):
        raise SystemExit(ran.why())
    return clock.monotonic() - started
