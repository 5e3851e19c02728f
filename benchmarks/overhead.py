"""What a run costs beyond restic's own time: the agent's steps and restic's share of them, and an instance's phases from call to exit."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from benchmarks.bench import repository
from benchmarks.result import Result
from maintainer.core.events import Event, decode
from maintainer.core.job import Keep
from maintainer.core.moments import from_text
from maintainer.edges.clock import SystemClock
from tests.support.agents import Maintained
from tests.support.instances import fleet

FILES, SIZE = 24, 2 << 20


def measure() -> Result:
    """Run a first contact and a quiet night, and add up the steps."""
    rows: list[dict[str, str | float]] = []
    ratios: dict[str, float] = {}
    with repository(FILES, SIZE) as made:
        maintained = Maintained(made, keep=Keep(last=1))
        maintained.expect_host()
        for subject in ("first contact", "quiet night"):
            clock = SystemClock()
            started = clock.monotonic()
            ran = maintained.finish(maintained.start())  # as a process: its start is part of the cost
            wall = clock.monotonic() - started
            if ran.code:
                raise SystemExit(ran.why())
            restic_s = 0.0
            for event in ran.named("step.finished"):
                spent, share = float(str(event.fields["seconds"])), float(str(event.fields["restic_seconds"]))
                restic_s += share
                rows.append({"subject": f"{subject}: {event.step}", "total_s": spent, "restic_s": share, "ours_s": round(spent - share, 3)})
            rows.append(
                {
                    "subject": f"{subject}: whole",
                    "total_s": round(wall, 2),
                    "restic_s": round(restic_s, 2),
                    "ours_s": round(wall - restic_s, 2),
                }
            )
            ratios[f"ours/total {subject}"] = round((wall - restic_s) / wall, 2)
    _on_an_instance(rows, ratios)
    return Result("overhead", rows, ratios)


def _on_an_instance(rows: list[dict[str, str | float]], ratios: dict[str, float]) -> None:
    """Run on an instance of the sandbox, whose image is built already, and say where the time went; the controller's memory too."""
    with fleet() as park:
        park.repository()
        park.run()
        clock = SystemClock()
        called = clock.now()
        process = park.start("run", "--once", "--json")
        events: list[Event] = []
        memory_mib = 0.0
        for line in process.stdout or ():
            events.append(decode(line))
            memory_mib = max(memory_mib, peak_mib(process.pid))
        if process.wait():
            raise SystemExit("the run on an instance failed")
        ended = clock.now()

    def at(name: str, source: str) -> datetime:
        return next(from_text(event.ts) for event in events if (event.event, event.source) == (name, source))

    moments = {
        "call to launch": called,
        "launch to login": at("instance.launched", "controller"),
        "login to agent": at("instance.reached", "controller"),
        "agent": at("run.started", "agent"),
        "agent to termination": at("run.closed", "agent"),
        "termination to exit": at("instance.terminated", "controller"),
        "": ended,
    }
    for (phase, begun), (_, over) in pairwise(moments.items()):
        rows.append({"subject": f"instance: {phase}", "total_s": round((over - begun).total_seconds(), 2)})
    restic_s = sum(float(str(event.fields["restic_seconds"])) for event in events if event.event == "step.finished")
    wall = (ended - called).total_seconds()
    rows.append(
        {"subject": "instance: whole", "total_s": round(wall, 2), "restic_s": round(restic_s, 2), "ours_s": round(wall - restic_s, 2)}
    )
    rows.append({"subject": "instance: controller", "memory_mib": round(memory_mib)})
    ratios["ours/total instance"] = round((wall - restic_s) / wall, 2)


def peak_mib(pid: int) -> float:
    """Return the most memory that a process has had so far; ru_maxrss would begin with what its parent had when it was forked."""
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024
    return 0.0
