"""A pytest plugin: the processor time of a test run, by kind of process, printed at its end.

Tests start servers, agents, restic and whole machines, most of which are no children of pytest. So /proc is read twice a second, and
every process that began since the run did is counted. A process that lives for less than half a second may be missed: what no sample
saw is printed as its own row, beside whatever else the machine did.
"""

from __future__ import annotations

import os
import re
import threading
from collections import defaultdict
from pathlib import Path

import pytest

PERIOD_S = 0.5
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
KINDS = (
    ("linters and types", r"mypy|\bruff\b|lint-imports|checkov"),
    ("restic", r"(^|/)restic(-newest)?\0"),
    ("terraform", r"terraform"),
    ("S3 endpoint", r"maintainer\.sandbox\.endpoint|tests\.support\.careless|seaweed|(^|/)weed\0"),
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


class Sampler:
    """Reads what each process has used, until it is asked for the sums."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._spent: dict[tuple[int, int], tuple[str, int]] = {}
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
        for kind, ticks in self._spent.values():
            sums[kind] += ticks / TICKS_A_SECOND
        unseen = (busy_ticks() - self._busy) / TICKS_A_SECOND - sum(sums.values())
        return dict(sorted(sums.items(), key=lambda item: -item[1])) | {"seen by no sample": max(unseen, 0.0)}

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(PERIOD_S):
            self._sample()

    def _sample(self) -> None:
        for entry in os.listdir("/proc"):  # noqa: PTH208 - half of the time of a Path a process
            if not entry.isdigit():
                continue
            try:
                started, ticks = self._stat(entry)
                if started < self._began:
                    continue
                key = int(entry), started
                kind, before = self._spent.get(key, ("", -1))
                if ticks == before:
                    continue
                # Until its exec a process has its parent's command line.
                if not kind or ticks < TICKS_A_SECOND:
                    command = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
                    kind = kind_of(command, in_machine=self._namespace(entry) != self._own_namespace) if command else kind or "others"
                self._spent[key] = kind, ticks
            except (OSError, ValueError, IndexError):  # it ended while it was read
                continue

    @staticmethod
    def _stat(pid: str) -> tuple[int, int]:
        """Return when a process started and what it used, in ticks: proc(5), fields 22, 14 and 15."""
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19]), int(fields[11]) + int(fields[12])

    def _started_at(self, pid: int) -> int:
        return self._stat(str(pid))[0]

    @staticmethod
    def _namespace(pid: str) -> str:
        return os.readlink(f"/proc/{pid}/ns/pid")


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
