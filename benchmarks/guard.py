"""What judging costs, by the number of snapshots, from a few thousand to fifty thousand: time and memory must grow as it does."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from benchmarks.result import Result
from maintainer.core.records import Extent
from maintainer.core.retention import Candidate, Limits, allow, judge
from maintainer.edges.clock import SystemClock

COUNTS = (6_250, 12_500, 25_000, 50_000)
START = datetime(2026, 1, 1, tzinfo=UTC)
EVERY = timedelta(minutes=30)


def measure() -> Result:
    """Judge a history of so many snapshots, all new to the ledger, and then all known to it, with a flood at its end."""
    rows: list[dict[str, str | float]] = []
    costs: dict[str, list[tuple[float, float]]] = {"new": [], "known": []}
    for count in COUNTS:
        fresh = [_snapshot(number) for number in range(count)]
        known = [replace(one, extent=_extent(one, None, None)) for one in fresh]
        flood = [replace(_snapshot(count + number), first_seen=fresh[-1].first_seen) for number in range(count // 10)]
        for subject, found in (("new", fresh), ("known", [*known, *flood])):
            seconds, mebibytes = _judge(found)
            costs[subject].append((seconds, mebibytes))
            rows.append({"subject": f"{len(found)} snapshots, {subject}", "total_s": round(seconds, 3), "memory_mib": round(mebibytes, 1)})
    ratios: dict[str, float] = {}
    for subject, figures in costs.items():
        (least_s, least_mib), (most_s, most_mib) = figures[0], figures[-1]
        ratios[f"{subject}: time each, most/least"] = round(most_s / least_s / (COUNTS[-1] / COUNTS[0]), 2)
        ratios[f"{subject}: memory each, most/least"] = round(most_mib / least_mib / (COUNTS[-1] / COUNTS[0]), 2)
    return Result("guard", rows, ratios)


def _judge(found: list[Candidate]) -> tuple[float, float]:
    """Return how long it takes, and how much memory beyond the snapshots themselves: measured apart, for measuring memory takes time."""
    now, limits, clock = found[-1].first_seen + timedelta(days=20), Limits(), SystemClock()
    started = clock.monotonic()
    verdict = judge(found, {found[0].group: EVERY}, limits, _extent, since=found[0].first_seen, now=now)
    allow([one.id for one in verdict.counting[: len(found) // 2]], verdict, limits)
    seconds = clock.monotonic() - started
    tracemalloc.start()
    judge(found, {found[0].group: EVERY}, limits, _extent, since=found[0].first_seen, now=now)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak / (1 << 20)


def _snapshot(number: int) -> Candidate:
    at = START + number * EVERY
    return Candidate(f"{number:064x}", at, "web1", ("/srv",), at)


def _extent(_: Candidate, previous: Candidate | None, __: Candidate | None) -> Extent:
    return Extent(1 << 30, 1 << 30, 1 << 30, previous.name) if previous else Extent(1 << 30)
