"""What listing every version of a bucket costs: ours, s5cmd, rclone and boto3's paginator on the same pages, which are rendered once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks import peers
from benchmarks.result import Result
from benchmarks.stub import BUCKET, PER_PAGE, ROOT
from maintainer.edges.clock import SystemClock

ROUNDS = 3
PAGES = {"maintainer": 2000, "s5cmd": 2000, "rclone": 2000, "boto3's paginator": 200}
"""As many as a subject takes some seconds for: what counts is the time for each version."""
LARGE = 10_000
"""Pages of the survey whose memory is measured: ten million versions."""


def measure() -> Result:
    """Let each list, in turns; say how many versions a second, and what CPU time and memory the client took."""
    installed = peers.install()
    figures: dict[str, list[tuple[float, float, float]]] = {}
    for turn in range(ROUNDS):
        for subject, pages in sorted(PAGES.items(), reverse=bool(turn % 2)):
            with _stub(pages) as endpoint:
                figures.setdefault(subject, []).append(_run(_command(subject, endpoint, installed), endpoint, pages * PER_PAGE))
    with _stub(LARGE) as endpoint:
        large = _run(_command("maintainer", endpoint, installed), endpoint, LARGE * PER_PAGE)
    best = {subject: (max(f[0] for f in found), min(f[1] for f in found), max(f[2] for f in found)) for subject, found in figures.items()}
    best[f"maintainer, {LARGE * PER_PAGE} versions"] = large
    rows: list[dict[str, str | float]] = [
        {"subject": subject, "versions_per_s": round(speed), "cpu_us_per_version": round(cpu * 1e6, 2), "memory_mib": round(memory)}
        for subject, (speed, cpu, memory) in best.items()
    ]
    ours = best["maintainer"]
    ratios = {f"versions a second, ours/{peer}": round(ours[0] / best[peer][0], 1) for peer in PAGES if peer != "maintainer"}
    ratios |= {f"CPU time, {peer}/ours": round(best[peer][1] / ours[1], 1) for peer in PAGES if peer != "maintainer"}
    return Result("survey", rows, ratios)


@contextmanager
def _stub(pages: int) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.stub", str(pages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield (process.stdout or sys.stdin).readline().strip()
        process.communicate()  # its input ends, and so it does


def _command(subject: str, endpoint: str, installed: Path) -> list[str]:
    match subject:
        case "s5cmd":
            return [str(installed / "s5cmd"), "--endpoint-url", endpoint, "ls", "--all-versions", f"s3://{BUCKET}/{ROOT}*"]
        case "rclone":
            remote = f":s3,provider=Other,env_auth=true,versions=true,endpoint='{endpoint}':{BUCKET}/{ROOT.rstrip('/')}"
            return [str(installed / "rclone"), "lsf", "--recursive", "--fast-list", remote]
        case "boto3's paginator":
            return [sys.executable, "-m", "benchmarks.listers", "boto3", endpoint]
        case _:
            return [sys.executable, "-m", "benchmarks.listers", "maintainer", endpoint]


def _run(command: list[str], endpoint: str, versions: int) -> tuple[float, float, float]:
    """Return versions a second, seconds of CPU time for each, and the most memory in MiB."""
    clock = SystemClock()
    started = clock.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=peers.environment(endpoint))
    said, begin = 0, b""
    for piece in iter(partial(os.read, process.stdout.fileno() if process.stdout else -1, 1 << 20), b""):
        said += piece.count(b"\n")
        begin = (begin + piece)[:32]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = clock.monotonic() - started
    said = int(begin) if said == 1 else said
    if process.returncode or said < versions * 0.9:  # some leave out delete markers
        raise RuntimeError(f"{command[0]} listed {said} of {versions} versions, and ended with {process.returncode}")
    return versions / seconds, (usage.ru_utime + usage.ru_stime) / versions, usage.ru_maxrss / 1024
