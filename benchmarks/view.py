"""restic through the view against restic with its own S3 backend: check --read-data and a restore, in turns that change places."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles

from benchmarks.bench import repository
from benchmarks.result import Result
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from maintainer.edges.clock import SystemClock
from maintainer.edges.keptfiles import KeptFiles
from maintainer.edges.viewserver import Permissions, ViewServer
from tests.support.buckets import store

ROUNDS = 10
FILES, SIZE = 48, 8 << 20
OPTIONS = ("-o", "rest.connections=16", "-o", "s3.connections=16")
"""As many connections for the one as for the other, and as many as a run takes."""


LATENCIES_MS = (0, 10)
"""A store on this machine, which nobody has, and one that answers as fast as an S3 in the same region at its best."""
Seconds = dict[str, dict[str, list[float]]]


def measure() -> Result:
    """Compare both backends, and the view's relay, on the same repository, near and at a distance."""
    rows: list[dict[str, str | float]] = []
    ratios: dict[str, float] = {}
    for latency in LATENCIES_MS:
        seconds = _race(latency)
        rows += [
            {"subject": f"{subject}, {latency} ms", **{figure: round(median(values), 2) for figure, values in figures.items()}}
            for subject, figures in seconds.items()
        ]
        own, view = seconds["restic's S3 backend"], seconds["view, redirect"]
        for figure in own:
            low, middle, high = quantiles((mine / theirs for mine, theirs in zip(view[figure], own[figure], strict=True)), n=4)
            spread = {"lower quarter": low, "median": middle, "upper quarter": high}
            ratios |= {f"view/own {figure}, {latency} ms, {what}": round(ratio, 2) for what, ratio in spread.items()}
    return Result("view", rows, ratios)


def _race(latency_ms: int) -> Seconds:
    clock = SystemClock()
    seconds: Seconds = {}
    with repository(FILES, SIZE, latency_ms) as made:
        mine = KeptFiles(store(made.sandbox, made.prefix))
        shown: dict[str, ObjectVersion] = {}
        for version in store(made.sandbox, made.prefix).survey():
            shown.setdefault(version.key, version)
        target = made.root / "target"
        with (
            ViewServer(View(shown), mine, Permissions(), redirect=True) as redirect,
            ViewServer(View(shown), mine, Permissions(), redirect=False) as relay,
        ):
            places = {"restic's S3 backend": made.location, "view, redirect": redirect.address, "view, relay": relay.address}
            for turn in range(ROUNDS):
                # Nobody is always the first, or always the one after the same neighbour.
                for subject, place in sorted(places.items(), reverse=bool(turn % 2)):
                    ways: dict[str, Callable[[], object]] = {
                        "check_s": partial(made.restic, *OPTIONS, "check", "--read-data", location=place),
                        "restore_s": partial(made.restic, *OPTIONS, "restore", "latest", "--target", str(target), location=place),
                    }
                    for figure, way in ways.items():
                        started = clock.monotonic()
                        way()
                        seconds.setdefault(subject, {}).setdefault(figure, []).append(clock.monotonic() - started)
                        shutil.rmtree(Path(target), ignore_errors=True)
    return seconds
