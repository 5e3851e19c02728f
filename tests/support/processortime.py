"""A pytest plugin: the processor time of a test run, by kind of process, printed at its end.

Tests start servers, agents, restic and whole machines, most of which are no children of pytest. So /proc is read once a second, and
every process that began since the run did is counted. A process that ends between two samples is missed. Its parent's account has its
time, if the parent waited for it: that is a row of its own, by the kind of the parent.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

PERIOD_S = 1.0
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
KINDS = (
    ("linters and types", r"mypy|\bruff\b|lint-imports|checkov"),
    ("restic", r"(^|/)restic(-newest)?\0"),
    ("terraform", r"terraform"),
    ("S3 endpoint", r"maintainer\.sandbox\.endpoint|tests\.support\.(careless|memorys3)"),
    ("EC2 endpoint", r"maintainer\.sandbox\.ec2|moto"),
    ("hypervisor", r"maintainer\.sandbox\.(hypervisor|machine|imds|tunnels)"),
    ("agent", r"maintainer\.agent|maintainer-agent"),
    ("gateway", r"maintainer\.gateway|maintainer-gateway|rclone"),
    ("image build", r"mmdebstrap|dpkg|apt-get|skopeo"),
    ("sandbox", r"maintainer\.sandbox"),
    ("command line", r"maintainer"),
    ("pytest", r"pytest|execnet|sys\.stdin\.readline"),
)
"""A kind is the first whose pattern the command line has; words are separated by a zero byte."""


def kind_of(command: str, *, in_machine: bool) -> str:
    """Return the kind of process that has this command line."""
    for kind, pattern in KINDS:
        if re.search(pattern, command):
            return kind
    return "machines" if in_machine else "others"


def busy_ticks() -> int:
    """Return the ticks that all processors together have been busy since the machine started: proc(5), /proc/stat."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text(encoding="ascii").split()[1:8])
    return user + nice + system + irq + softirq


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process has used, in ticks: itself, and its children that ended and that it waited for."""

    kind: str
    parent: int
    own: int
    reaped: int


class Sampler:
    """Reads what each process has used, until it is asked for the sums."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._spent: dict[tuple[int, int], Spent] = {}
        self._living: set[tuple[int, int]] = set()
        self._began = self._started_at(os.getpid())
        self._busy = busy_ticks()
        self._own_namespace = self._namespace("self")
        self._thread = threading.Thread(target=self._sample_until_stopped, daemon=True)
        self._thread.start()

    def seconds(self) -> dict[str, float]:
        """End the sampling; return the seconds of each kind, and of what no sample saw."""
        self._stop.set()
        self._thread.join()
        sums: defaultdict[str, float] = defaultdict(float)
        seen_by_parent: defaultdict[int, int] = defaultdict(int)
        for key, spent in self._spent.items():
            sums[spent.kind] += spent.own / TICKS_A_SECOND
            if key not in self._living:
                seen_by_parent[spent.parent] += spent.own + spent.reaped
        for (pid, _), spent in self._spent.items():
            if (unseen := spent.reaped - seen_by_parent[pid]) > 0:
                sums[f"{spent.kind}: short children"] += unseen / TICKS_A_SECOND
        rest = (busy_ticks() - self._busy) / TICKS_A_SECOND - sum(sums.values())
        return dict(sorted(sums.items(), key=lambda item: -item[1])) | {"all else on this machine": max(rest, 0.0)}

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        living = set()
        for entry in os.listdir("/proc"):  # noqa: PTH208 - half of the time of a Path a process
            if not entry.isdigit():
                continue
            try:
                started, spent = self._stat(entry)
                if started < self._began:
                    continue
                key = int(entry), started
                living.add(key)
                kind = before.kind if (before := self._spent.get(key)) else ""
                # Until its exec a process has its parent's command line.
                if not kind or spent.own < TICKS_A_SECOND:
                    command = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
                    kind = kind_of(command, in_machine=self._namespace(entry) != self._own_namespace) if command else kind or "others"
                self._spent[key] = replace(spent, kind=kind)
            except (OSError, ValueError, IndexError):  # it ended while it was read
                continue
        self._living = living

    @staticmethod
    def _stat(pid: str) -> tuple[int, Spent]:
        """Return when a process started and what it used, in ticks: proc(5), fields 22, 4, and 14 to 17."""
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19]), Spent("", int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[13]) + int(fields[14]))

    def _started_at(self, pid: int) -> int:
        return self._stat(str(pid))[0]

    @staticmethod
    def _namespace(pid: str) -> str:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Sample in the process that the workers belong to, and nowhere else."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.stash[SAMPLER] = Sampler()


SAMPLER = pytest.StashKey[Sampler]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the sums."""
    if (sampler := config.stash.get(SAMPLER, None)) is None:
        return
    seconds = sampler.seconds()
    whole = sum(seconds.values()) or 1
    terminalreporter.write_sep("=", f"processor time: {whole:.0f} s")
    for kind, spent in seconds.items():
        terminalreporter.write_line(f"{spent:8.1f}s {spent / whole:5.0%}  {kind}")
