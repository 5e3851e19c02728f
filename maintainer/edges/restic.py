"""restic: its command lines, its JSON, its exit codes; run under limits, with the password out of sight."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from maintainer.core.errors import ConfigurationError, Problem, ResticError
from maintainer.core.job import Keep
from maintainer.core.moments import from_text

OLDEST = (0, 18)
_VERSION = re.compile(r"restic (\d+)\.(\d+)(?:\.\d+)?")
OOM_SCORE = 500
"""How much rather than the agent the kernel kills restic where memory runs out: of 1000 (proc(5), oom_score_adj)."""
SOFT_STOP_S = 20
"""How long restic has to end after SIGINT, before it is killed."""
KEPT_TAIL = 4_000
_SIGNED = re.compile(r"\?[^\s\"']*X-Amz-[^\s\"']*")
"""The query of a presigned URL, which restic quotes in its errors: whoever reads it may read the object, for an hour."""
_TRACE = re.compile(r"(?P<why>[^\n]+)\n(?P<what>[^\n]+)\n[\w./()*-]+\n\t[^\n]+\.go:\d+\n")
"""How restic tells of an error that it did not expect: the cause, what it was doing, and where in its code."""
_UNREAD = re.compile(r"Load\(<data/[^\n]*\) failed: ([^\n]{1,200})")
_CRASH = re.compile(r"^(?:fatal error|panic|runtime/cgo): .*", re.MULTILINE)
"""What Go's runtime says first when it gives up; stacks of every goroutine follow."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one restic may use: bytes of memory (RLIMIT_DATA, which is what Go's heap counts as), and time."""

    memory: int = 4 << 30
    time: timedelta = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a restic ended: its exit status, standard output whole, the end of standard error, and whether its time was over."""

    status: int
    output: str
    errors: str
    late: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as restic tells of it."""

    id: str
    time: datetime
    host: str
    paths: tuple[str, ...]
    tree: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the policy would do: ids to remove, and for those to keep restic's reasons."""

    remove: tuple[str, ...]
    keep: Mapping[str, tuple[str, ...]]


def snapshots_argv() -> tuple[str, ...]:
    """List all snapshots. Without a lock, as all that only reads: the view is its run's own, and restic waits 200 ms after locking."""
    return ("snapshots", "--no-lock", "--json")


def policy_argv(keep: Keep) -> tuple[str, ...]:
    """Ask what the policy would forget, for each host and paths; nothing is done."""
    rules: list[str] = []
    for name in ("last", "hourly", "daily", "weekly", "monthly", "yearly"):
        count = getattr(keep, name)
        if count:
            rules += [f"--keep-{name}", "unlimited" if count < 0 else str(count)]
    if keep.within:
        rules += ["--keep-within", keep.within]
    for tag in keep.tags:
        rules += ["--keep-tag", tag]
    return ("forget", "--no-lock", "--dry-run", "--json", "--group-by", "host,paths", *rules)


def forget_argv(ids: Sequence[str]) -> tuple[str, ...]:
    """Forget exactly these, by full id."""
    return ("forget", "--json", *ids)


def prune_argv() -> tuple[str, ...]:
    """Prune with restic's own measure of waste."""
    return ("prune", "-vv")


def check_argv(*, read_data: bool) -> tuple[str, ...]:
    """Check the structure, or every byte."""
    return ("check", "--no-lock", "--json", *(("--read-data",) if read_data else ()))


def repair_index_argv() -> tuple[str, ...]:
    """Make indexes anew from what the packs hold."""
    return ("repair", "index")


def repair_packs_argv(packs: Iterable[str]) -> tuple[str, ...]:
    """Write what is sound in damaged packs anew, and forget them. A copy of each stays in the folder in which restic runs."""
    return ("repair", "packs", *packs)


def add_key_argv(path: str) -> tuple[str, ...]:
    """Add a key that opens with the password in the file at `path`."""
    return ("key", "add", "--user", "maintainer", "--new-password-file", path)


class Restic:
    """One restic binary. Every call names the repository's address and its password."""

    def __init__(self, binary: str, version: str, limits: Limits = Limits()) -> None:
        self.binary = binary
        self.version = version
        self._limits = limits
        self._running: subprocess.Popen[str] | None = None

    def run(
        self,
        address: str,
        password: str,
        argv: Sequence[str],
        *,
        time: timedelta | None = None,
        cache: Path | None = None,
        store: Mapping[str, str] = MappingProxyType({}),
        folder: Path | None = None,
    ) -> Outcome:
        """Run one command to its end, or to its time limit (`time`, where that is less): then it is stopped, and the outcome says so.

        With `cache` restic keeps packs of trees, indexes and snapshots there, under their names, which are hashes. `check` makes another
        in it for itself, so that what it reads it has from the repository. `store` is what a store of its own wants in the environment,
        and `folder` where restic runs.
        """
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        environment |= {"RESTIC_PASSWORD": password, "GOMEMLIMIT": str(self._limits.memory * 9 // 10), "RESTIC_PROGRESS_FPS": "1", **store}
        command = (
            *("choom", "-n", str(OOM_SCORE), "--"),  # for want of memory the kernel takes restic, and not the agent, which tells why
            *("prlimit", f"--data={self._limits.memory}", "--core=0", "--"),
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *(self.binary, "-r", address, *(("--cache-dir", str(cache)) if cache else ("--no-cache",))),
            *("-o", "rest.connections=16", *argv),
        )
        output: list[str] = []
        errors: list[str] = []
        with subprocess.Popen(  # noqa: S603 - argv is ours, ids are hex
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
        ) as process:
            late = threading.Event()

            def end() -> None:
                late.set()
                self.stop()

            timer = threading.Timer(min(self._limits.time, time or self._limits.time).total_seconds(), end)
            timer.daemon = True  # a signal may arrive before it can be cancelled: it must not keep the agent alive
            drain = threading.Thread(target=lambda: errors.extend(process.stderr or ()), daemon=True)
            try:
                self._running = process
                timer.start()
                drain.start()
                output.extend(process.stdout or ())
                status = process.wait()
                drain.join(SOFT_STOP_S)
            except BaseException:
                self.stop()
                raise
            finally:
                timer.cancel()
                self._running = None
        said = _SIGNED.sub("?…", "".join(errors))
        crash = _CRASH.search(said)
        return Outcome(status, "".join(output), said[crash.start() :][:KEPT_TAIL] if crash else said[-KEPT_TAIL:], late.is_set())

    def stop(self) -> None:
        """End the restic that runs, if one does: by SIGINT, so that it ends in order, then for good."""
        process = self._running
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(SOFT_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()

    def demand(self, address: str, password: str, argv: Sequence[str], *, cache: Path | None = None) -> str:
        """Run one command that must succeed; return its output. Raises ResticError with the reason."""
        outcome = self.run(address, password, argv, cache=cache)
        if outcome.status != 0:
            raise failure(argv[0], outcome)
        return outcome.output


def failure(command: str, outcome: Outcome) -> ResticError:
    """Return the error for a restic that failed: what it said, and what that calls for."""
    said = last_words(outcome)
    match outcome.status:
        case _ if outcome.late:
            do = "it takes longer than it may: raise [restic] time, or look at what a host has put there"
        case 10:
            do = "is the location right? `restic init` makes a repository"
        case 11:
            do = "the view holds its own locks: this is our fault, report it"
        case 12:
            do = "the password of this repository is another one: correct its source"
        case _ if _CRASH.match(said) and ("memory" in said or "pthread_create" in said):  # a thread's stack is memory too
            do = "it needs more than it may have: raise [restic] memory_mib, on a machine that has as much"
        case status if status < 0:
            do = "restic was stopped from outside, or by the kernel, for want of memory: [restic] memory_mib must be less than there is"
        case _:
            do = "maintainer logs RUN tells what led to it"
    return ResticError(f"restic {command} ended with status {outcome.status}: {said}", guidance=do, status=outcome.status)


def is_sound(outcome: Outcome) -> bool:
    """Tell what `restic check` found. ResticError where it came to no verdict: it was ended, or crashed."""
    if outcome.status not in (0, 1):
        raise failure("check", outcome)
    return outcome.status == 0


def unread(outcome: Outcome) -> str:
    """Return why restic could not read a pack at all, where it failed over that: a store's fault, or a pack's? It can not tell.

    Empty where it could do without, or names packs that it has read, and that are broken.
    """
    found = _UNREAD.search(outcome.errors) if outcome.status and not parse_check(outcome).get("broken_packs") else None
    return found[1] if found else ""


def last_words(outcome: Outcome) -> str:
    """Return what restic said last on standard error, in one line; of a crash, why; of one that was stopped, that its time was over."""
    if outcome.late:
        return "its time was over"
    if (crash := _CRASH.search(outcome.errors)) is not None:
        return crash[0][:400]
    if (trace := _TRACE.search(outcome.errors)) is not None:
        return f"{trace['what']}: {trace['why']}"[:400]
    lines = [line.strip() for line in outcome.errors.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            told = json.loads(line)
        except ValueError:
            return line[-400:]
        if isinstance(told, dict) and "message" in told:
            return str(told["message"])[-400:]
    return "it said nothing"


def parse_snapshots(output: str) -> tuple[Snapshot, ...]:
    """Read `restic snapshots --json`."""
    return tuple(_snapshot(raw) for raw in json.loads(output or "[]") or ())


def parse_policy(output: str) -> Proposal:
    """Read `restic forget --dry-run --json`; a repository without snapshots prints an empty line."""
    line = next((line for line in output.splitlines() if line.startswith("[")), "[]")
    remove: list[str] = []
    keep: dict[str, tuple[str, ...]] = {}
    for group in json.loads(line):
        remove += [raw["id"] for raw in group.get("remove") or ()]
        for reason in group.get("reasons") or ():
            keep[reason["snapshot"]["id"]] = tuple(reason["matches"])
    return Proposal(tuple(remove), keep)


def parse_check(outcome: Outcome) -> dict[str, Any]:
    """Read the summary of `restic check --json`; empty when it never got that far."""
    for line in reversed(outcome.output.splitlines()):
        try:
            raw = json.loads(line)
        except ValueError:
            continue
        if isinstance(raw, dict) and raw.get("message_type") == "summary":
            return raw
    return {}


def _snapshot(raw: Mapping[str, Any]) -> Snapshot:
    paths, tags = tuple(raw.get("paths") or ()), tuple(raw.get("tags") or ())
    return Snapshot(raw["id"], from_text(raw["time"]), raw.get("hostname", ""), paths, raw["tree"], tags)


def find(configured: str = "restic", limits: Limits = Limits()) -> Restic:
    """Return the restic to use: ConfigurationError when it is missing or older than 0.18, which the view needs."""
    beside = Path(sys.prefix) / "bin" / "restic"  # where script/setup puts it: newer than what a machine's PATH may have
    binary = str(beside) if configured == "restic" and beside.exists() else shutil.which(configured)
    if binary is None:
        raise _unusable(f"no {configured!r} on PATH")
    printed = subprocess.run([binary, "version"], capture_output=True, text=True, check=False, timeout=30).stdout  # noqa: S603 - the user's own
    found = _VERSION.match(printed)
    if found is None:
        raise _unusable(f"{binary} prints no version of restic")
    if not is_new_enough(printed):
        raise _unusable(f"{found[0]} at {binary}")
    return Restic(binary, found[0].removeprefix("restic "), limits)


def is_new_enough(printed: str) -> bool:
    """Tell whether what `restic version` printed is the version of one that can be used."""
    found = _VERSION.match(printed)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def _unusable(found: str) -> ConfigurationError:
    do = "`maintainer restic fetch`; or install it (Debian 13 has 0.18), or name a newer binary: [restic] path = ..."
    return ConfigurationError((Problem("restic", found, f"restic {OLDEST[0]}.{OLDEST[1]} or newer", do),))
