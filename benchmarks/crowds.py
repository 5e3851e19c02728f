"""A whole run over a repository that somebody has filled: with junk, or with snapshots. Time must grow as they do, and memory hardly.

The store is the sandbox's, which answers one request at a time, and looks at every key of its for each page that it lists: most of the time
is its own, and grows faster than the crowd. What the agent and its restics take is their CPU time.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from benchmarks.bench import Watched, repository, watched
from benchmarks.result import Result
from maintainer.core.job import Keep
from maintainer.drill import forge, lies
from maintainer.edges.clock import SystemClock
from tests.support.agents import Maintained
from tests.support.repositories import Repository

JUNK = (10_000, 100_000)
SNAPSHOTS = (5_000, 50_000)
PUTTERS = 6


def measure() -> Result:
    """Run twice over each: what is new costs most."""
    rows: list[dict[str, str | float]] = []
    ratios: dict[str, float] = {}
    for subject, counts, fill in (("junk", JUNK, _put_junk), ("snapshots", SNAPSHOTS, _put_snapshots)):
        found: dict[int, list[Watched]] = {}
        for count in counts:
            found[count] = _runs(count, fill)
            for what, took in zip(("new", "known"), found[count], strict=True):
                shown = {"total_s": round(took.seconds, 1), "cpu_s": round(took.cpu_s, 1), "memory_mib": round(took.mebibytes)}
                rows.append({"subject": f"{count} {subject}, {what}", **shown})
                print(rows[-1], file=sys.stderr, flush=True)  # it takes a quarter of an hour
        least, most = counts
        for number, what in enumerate(("new", "known")):
            few, many = found[least][number], found[most][number]
            ratios[f"{subject}, {what}: time each, most/least"] = round(many.seconds / few.seconds / (most / least), 2)
            ratios[f"{subject}, {what}: CPU time each, most/least"] = round(many.cpu_s / few.cpu_s / (most / least), 2)
            ratios[f"{subject}, {what}: memory in all, most/least"] = round(many.mebibytes / few.mebibytes, 2)
    return Result("crowds", rows, ratios)


def _runs(count: int, fill: Callable[[Repository, int], None]) -> list[Watched]:
    """Return how long a first run takes after so many were put, and a second, and the most memory of each."""
    with repository(1, 300_000) as made:
        maintained = Maintained(made, Keep(last=10_000_000))
        maintained.expect_host()
        maintained.finish(maintained.start())
        fill(made, count)
        return [watched(maintained.start()) for _ in range(2)]


def _put_junk(made: Repository, count: int) -> None:
    """Put a third of it under restic's names, a third elsewhere, and a third on top of one pack."""
    pack = made.objects("data/")[0]

    def put(number: int) -> None:
        name = hashlib.sha256(str(number).encode()).hexdigest()
        made.put((f"data/{name[:2]}/{name}", f"junk/{name}", pack)[number % 3], b"junk%d" % number)

    with ThreadPoolExecutor(PUTTERS) as pool:
        list(pool.map(put, range(count)))


def _put_snapshots(made: Repository, count: int) -> None:
    """Put snapshots of the newest one's tree, half an hour apart."""
    now, key, tree = SystemClock().now(), made.master_key(), lies.newest(made).tree

    def put(number: int) -> None:
        time = now - timedelta(minutes=30 * number)
        forged = forge.snapshot(key, time=time, host=made.host, paths=[str(made.source)], tree=tree)
        made.put(forged.key, forged.body)

    with ThreadPoolExecutor(PUTTERS) as pool:
        list(pool.map(put, range(count)))
