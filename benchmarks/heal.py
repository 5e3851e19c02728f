"""What putting a bucket right costs, and how right it is then: ours beside s3-pit-restore, on the same bucket in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks import peers
from benchmarks.bucket import BEGAN, BUCKET, DAY, ROOT
from benchmarks.result import Result
from maintainer.edges.clock import SystemClock

PEER = "s3-pit-restore"
WORKERS = 8
"""As many as ours has."""
WEEKS = 4


def measure() -> Result:
    """Let each heal what was overwritten in one night, 5,000 of 200,000; and what four weeks of attacks did among four weeks of backups."""
    installed = peers.install()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        rows = [_ours("overwritten", folder), _peer("overwritten", BEGAN + 19 * DAY, folder, installed), _ours("weeks", folder)]
        rows += [_peer("weeks", BEGAN + timedelta(days=day), folder, installed) for day in range(2, 7 * WEEKS + 1, 7)]
    ours, theirs, ours_of_weeks, *theirs_of_weeks = rows
    best_date = max(float(row["right"]) / float(row["keys"]) for row in theirs_of_weeks)
    ratios = {
        "time, s3-pit-restore/ours": float(theirs["total_s"]) / float(ours["total_s"]),
        "CPU time, s3-pit-restore/ours": float(theirs["cpu_s"]) / float(ours["cpu_s"]),
        "right after weeks of attacks, ours": float(ours_of_weeks["right"]) / float(ours_of_weeks["keys"]),
        "right after weeks of attacks, s3-pit-restore by its best date": best_date,
    }
    return Result("heal", rows, {name: round(ratio, 3) for name, ratio in ratios.items()})


def _ours(scene: str, folder: Path) -> dict[str, str | float]:
    return _heal(scene, f"maintainer, {scene}", folder, [sys.executable, "-m", "benchmarks.healer", str(folder / "pins")])


def _peer(scene: str, date: datetime, folder: Path, installed: Path) -> dict[str, str | float]:
    command = [str(installed / PEER), "-b", BUCKET, "-B", BUCKET, "-p", ROOT, "-t", date.isoformat(), "--max-workers", str(WORKERS)]
    return _heal(scene, f"{PEER}, {scene}, to {date:%m-%d}", folder, command)


def _heal(scene: str, subject: str, folder: Path, command: list[str]) -> dict[str, str | float]:
    """Run it on a bucket of its own; say what it took, start-up included, and what is true in the bucket then."""
    clock = SystemClock()
    serve = [sys.executable, "-m", "benchmarks.bucket", scene, str(folder / "pins")]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bucket:
        endpoint = (bucket.stdout or sys.stdin).readline().strip()
        started = clock.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=peers.environment(endpoint))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = clock.monotonic() - started
        if process.returncode:
            raise RuntimeError(f"{subject} ended with {process.returncode}")
        with urllib.request.urlopen(f"{endpoint}/?verdict") as answer:  # noqa: S310 - our own, on loopback
            verdict = json.load(answer)
        bucket.communicate()  # its input ends, and so it does
    cost = {"total_s": round(seconds, 1), "cpu_s": round(usage.ru_utime + usage.ru_stime, 1), "memory_mib": usage.ru_maxrss >> 10}
    return {"subject": subject, **cost, **verdict}
