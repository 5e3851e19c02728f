"""The forced command on a machine that stays, `maintainer-agent resident`: begins a run, hands its events out, and ends it whole.

Each run has a folder of its own. Starts for every connection, so it imports no more than it must.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from maintainer import __version__
from maintainer.agent import remote
from maintainer.edges import procfs
from maintainer.edges.clock import SystemClock

RUN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}"
WORDS = "`begin RUN`, `follow RUN N`, `stop RUN`, `collected RUN`, `end RUN`, `list` or `about RESTIC`"
BEGINNING, JOB = "begin.json", "job.json"
"""What the controller said of the run, as it came; and the job alone, which the agent reads."""
PLACE = "MAINTAINER_RUN"
"""Every process of a run has its folder in the environment by this name: so they are found, whoever was their parent."""
STARTED_WITHIN_S = 20.0
ENDED_WITHIN_S = 20.0
TURN_S = 0.02
MOST = 16 << 20
"""Bytes of a job: far beyond any."""


def main() -> int:
    """Answer what the SSH client asked for; return the exit status."""
    return answer(os.environ.get("SSH_ORIGINAL_COMMAND", ""), runs(), sys.stdin.buffer, sys.stdout.buffer)


def runs() -> Path:
    """Return where the runs of this account have their folders."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "maintainer/runs"


def answer(command: str, here: Path, given: BinaryIO, out: BinaryIO) -> int:
    """Do `begin RUN`, `follow RUN N`, `stop RUN`, `collected RUN`, `end RUN`, `list` or `about RESTIC`; anything else is status 2.

    What is refused is told on `out`, with status 2 too.
    """
    if command == "list":
        out.writelines(json.dumps(one).encode() + b"\n" for one in listed(here))
        return 0
    if found := re.fullmatch(r"about ([A-Za-z0-9_./-]{1,200})", command):
        out.write(json.dumps(about(found[1])).encode())
        return 0
    if found := re.fullmatch(rf"(begin|end|stop|collected) ({RUN})|follow ({RUN}) ([0-9]{{1,9}})", command):
        verb, run, followed, seen = found.groups()
        place = here / (run or followed)
        if verb == "end":
            return end(place, out)
        if verb == "begin":
            return begin(place, given.read(MOST), out)
        if followed and place.is_dir():
            return remote.follow(place, int(seen), out, remote.reader_waits(out))
        if not place.is_dir():  # what `follow` writes is events alone
            return _refuse(sys.stderr.buffer if followed else out, f"no run {place.name} is here")
        return remote.answer(verb, place, out)
    sys.stderr.write(f"maintainer-agent resident: expected {WORDS}\n")
    return remote.WRONG_USE


def begin(place: Path, said: bytes, out: BinaryIO) -> int:
    """Start a keeper on what was said: JSON with `maintainer` (the version), `limit_s`, `marks` and `job`. The same again does nothing.

    Returns once the keeper lives, or has lived.
    """
    try:
        wanted = json.loads(said)
        version, job, limit = wanted["maintainer"], json.dumps(wanted["job"]), int(wanted["limit_s"])
    except (ValueError, KeyError, TypeError):
        return _refuse(out, "what begins a run was cut, or is of another version")
    if version != __version__:
        return _refuse(out, f"this machine has maintainer {__version__}, and the controller {version}: install the same on both")
    if not (place / BEGINNING).exists():
        new = place.with_name(f".{place.name}.{os.getpid()}")
        new.mkdir(0o700, parents=True)
        (new / JOB).write_text(job, encoding="utf-8")
        (new / BEGINNING).write_bytes(said)
        with suppress(OSError):  # the same request, whose answer was lost, was faster
            new.rename(place)
        shutil.rmtree(new, ignore_errors=True)
    if (place / BEGINNING).read_bytes() != said:
        return _refuse(out, f"another run of the name {place.name} was begun here")
    if not (place / remote.ALIVE).exists():
        with (place / remote.ERRORS).open("ab") as errors:
            subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "maintainer.agent.command", "keep", str(place), str(limit)],
                env={**os.environ, PLACE: str(place)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
    if _within(STARTED_WITHIN_S, (place / remote.ALIVE).exists):
        return 0
    return _refuse(out, f"its keeper did not start: {remote.last_words(place).decode(errors='replace')}")


def end(place: Path, out: BinaryIO) -> int:
    """Kill every process of a run, and remove its folder; what is not there needs nothing."""

    def is_over() -> bool:
        left = list(processes_of(place))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    if not _within(ENDED_WITHIN_S, is_over):
        return _refuse(out, f"processes of {place.name} do not end: {', '.join(map(str, processes_of(place)))}")
    shutil.rmtree(place, ignore_errors=True)
    return 0


def listed(here: Path) -> Iterator[dict[str, object]]:
    """Yield each run that has a folder here, whole: its name, the marks that it was begun with, and whether it still runs."""
    for path in sorted(here.glob(f"[!.]*/{BEGINNING}")):
        with suppress(ValueError, FileNotFoundError):  # it was just ended
            marks = json.loads(path.read_bytes()).get("marks", {})
            runs = (path.parent / remote.ALIVE).exists() and not remote.is_dead(path.parent / remote.ALIVE)
            yield {"run": path.parent.name, "marks": marks, "runs": runs}


def about(binary: str) -> dict[str, str]:
    """Return the versions of maintainer and of a restic binary here: empty where it can not be run."""
    try:
        printed = subprocess.run([binary, "version"], capture_output=True, text=True, check=False, timeout=30).stdout  # noqa: S603 - a run's own
    except (OSError, subprocess.TimeoutExpired):
        printed = ""
    return {"maintainer": __version__, "restic": printed.split("\n")[0]}


def processes_of(place: Path) -> Iterator[int]:
    """Yield the processes of a run, but for those that only hand its events out."""
    for pid in procfs.with_environment(PLACE, str(place)):
        if pid != os.getpid():
            yield pid


def _within(limit_s: float, is_true: Callable[[], bool]) -> bool:
    clock = SystemClock()
    until = clock.monotonic() + limit_s
    while not is_true():
        if clock.monotonic() > until:
            return False
        clock.sleep(TURN_S)
    return True


def _refuse(out: BinaryIO, why: str) -> int:
    out.write(why.encode())
    out.flush()
    return remote.WRONG_USE
