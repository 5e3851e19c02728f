"""What a run costs beyond restic's own time: each step's seconds, and restic's share of them, from the run's own events."""

from __future__ import annotations

from benchmarks.bench import repository
from benchmarks.result import Result
from maintainer.core.job import Keep
from maintainer.edges.clock import SystemClock
from tests.support.agents import Maintained

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
            ran = maintained.run()
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
    return Result("overhead", rows, ratios)
