"""What becomes of a group whose instances EC2 takes back: the controller's decisions, on agents that say what a table says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from maintainer import __version__
from maintainer.controller import once as controller
from maintainer.controller.once import ATTEMPTS, Once
from maintainer.core.errors import ExitCode, NoInstanceError
from maintainer.core.events import Event, encode
from maintainer.core.job import Access, Job, Place, RepositoryJob
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.report.lines import Narrator

JOB = Job("r", Access(), Place("state"), tuple(RepositoryJob(name, Place("b", name), "file:/p") for name in ("one", "two")))


@dataclass(eq=False)
class Said:
    """An agent that finishes some repositories, and then ends with a status."""

    job: Job
    codes: tuple[int, ...]
    status: int
    spent: float | None = 0.4
    dies: bool = False

    @property
    def has_died(self) -> bool:
        return self.dies

    def lines(self) -> Iterator[str]:
        told: list[Event] = []
        recorder = Recorder(self.job.run_id, "agent", SystemClock(), told.append)
        for one, code in zip(self.job.repositories, self.codes, strict=False):
            with recorder.repository(one.name):
                recorder.record("repository.finished", exit_code=code, seconds=0, reads=1, writes=1)
        if self.status == 5:
            recorder.record("run.interrupted", repositories=[])
        if self.status >= 0:
            recorder.record("run.closed", exit_code=self.status)
        return (encode(event) for event in told)

    def signal(self, number: int) -> None:
        raise AssertionError(number)

    def wait(self) -> int:
        return self.status

    def last_words(self) -> str:
        return ""


@dataclass
class Attempts:
    """A compute whose agents end as the table says, one row an attempt."""

    rows: list[tuple[tuple[int, ...], int]]
    """Repositories' codes and the agent's status: one below zero is that of a machine that dies, and -9 that of a process."""
    patience: timedelta = timedelta(0)
    budget: float = 0.0
    is_paid: bool = True
    refusals: list[NoInstanceError] = field(default_factory=list)
    launched: list[Job] = field(default_factory=list)
    asked: list[int] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)

    def clear(self, run_id: str) -> None:
        self.cleared.append(run_id)

    def launch(self, job: Job, refused: int = 0) -> Said:
        self.asked.append(refused)
        if self.refusals:
            raise self.refusals.pop(0)
        self.launched.append(job)
        codes, status = self.rows.pop(0)
        return Said(job, codes, status, dies=status == -1)


@pytest.mark.parametrize(
    ("rows", "code", "launched"),
    [
        ([((0, 0), 0)], 0, ["r: one two"]),
        ([((0,), 5), ((0,), 0)], 0, ["r: one two", "r-2: two"]),
        ([((3,), 5), ((0,), 0)], 3, ["r: one two", "r-2: two"]),
        ([((4,), 5), ((0,), 0)], 4, ["r: one two", "r-2: two"]),
        ([((), 5), ((0,), 5), ((0,), 0)], 0, ["r: one two", "r-2: one two", "r-3: two"]),
        ([((0, 0), 5)], 0, ["r: one two"]),
        ([((), 5)] * ATTEMPTS, 5, ["r: one two", "r-2: one two", "r-3: one two"]),
        ([((0,), 5), *[((), 5)] * (ATTEMPTS - 1)], 5, ["r: one two", "r-2: two", "r-3: two"]),
        ([((), 130)], 130, ["r: one two"]),
        ([((), -1), ((0, 0), 0)], 0, ["r: one two", "r-2: one two"]),
        ([((3,), -1), ((0,), 0)], 3, ["r: one two", "r-2: two"]),
        ([((), -1), ((), 5), ((0, 0), 0)], 0, ["r: one two", "r-2: one two", "r-3: one two"]),
        ([((0,), -1), *[((), -1)] * (ATTEMPTS - 1)], 6, ["r: one two", "r-2: two", "r-3: two"]),
        ([((), -9)], 6, ["r: one two"]),
    ],
)
def test_what_is_left_is_tried_again_and_no_outcome_is_forgotten(
    rows: list[tuple[tuple[int, ...], int]], code: int, launched: list[str]
) -> None:
    told: list[Event] = []
    compute = Attempts(list(rows))
    once = Once({"g": compute}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"g": JOB}) == code
    assert [f"{job.run_id}: {' '.join(one.name for one in job.repositories)}" for job in compute.launched] == launched
    assert compute.cleared == ["r"] * (len(launched) - 1)
    assert [event.fields["run"] for event in told if event.event == "attempt.started"] == [job.run_id for job in compute.launched[1:]]
    failed = [event.fields for event in told if event.event == "run.failed"]
    assert bool(failed) == (code == 5)
    if failed:
        assert "two" in str(failed[0]["reason"])
        assert "on-demand" in str(failed[0]["guidance"])


@pytest.mark.parametrize(("budget", "launched", "code"), [(0, 3, 0), (0.9, 3, 0), (0.8, 2, 5), (0.1, 1, 5)])
def test_a_run_launches_no_other_instance_beyond_its_budget(budget: float, launched: int, code: int) -> None:
    told: list[Event] = []
    compute = Attempts([((), 5), ((), 5), ((0, 0), 0)], budget=budget)
    once = Once({"g": compute}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"g": JOB}) == code
    assert len(compute.launched) == launched
    failed = [str(event.fields["reason"]) for event in told if event.event == "run.failed"]
    assert [f"{0.4 * launched:.4f} USD, and its budget is {budget:.2f} USD" in one for one in failed] == [True] * bool(code)


@pytest.mark.parametrize(
    ("rows", "budget", "code"),
    [
        ([((), -1), ((), 7)], 0, 6),  # 7: no launch
        ([((0,), -1), ((), 7)], 0, 6),
        ([((), 5), ((), 7)], 0, 5),
        ([((), -1), ((), 5), ((), 7)], 0, 6),
        ([((), -1), ((), 5), ((), 5)], 0, 6),
        ([((), -1)], 0.1, 6),
        ([((), -1), ((4, 0), 4)], 0, 4),
    ],
)
def test_what_a_lost_machine_left_is_unknown_until_another_has_ended_in_order(
    rows: list[tuple[tuple[int, ...], int]], budget: float, code: int
) -> None:
    class Failing(Attempts):
        def launch(self, job: Job, refused: int = 0) -> Said:
            if self.rows[0][1] == 7:
                raise WRONG
            return super().launch(job, refused)

    told: list[Event] = []
    once = Once({"g": Failing(rows, budget=budget)}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"g": JOB}) == code


FULL = NoInstanceError("no place has room", guidance="name more types", may_pass=True)
WRONG = NoInstanceError("EC2 does not answer", guidance="is it up?")


@pytest.mark.parametrize(
    ("patience_s", "refusals", "code", "asked"),
    [
        (60, [FULL, FULL], 0, [0, 1, 2]),
        (60, [WRONG], 5, [0]),
        (60, [FULL, WRONG], 5, [0, 1]),
        (0, [FULL], 5, [0]),
    ],
)
def test_where_no_place_has_room_a_run_tries_again_as_long_as_it_has_patience(
    monkeypatch: pytest.MonkeyPatch, patience_s: int, refusals: list[NoInstanceError], code: int, asked: list[int]
) -> None:
    monkeypatch.setattr(controller, "FIRST_PAUSE_S", 0.01)
    told: list[Event] = []
    compute = Attempts([((0, 0), 0)], timedelta(seconds=patience_s), refusals=list(refusals))
    once = Once({"g": compute}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"g": JOB}) == code
    assert compute.asked == asked
    assert compute.cleared == ["r"] * (len(asked) - 1)
    postponed = [event.fields for event in told if event.event == "launch.postponed"]
    assert [one["reason"] for one in postponed] == ["no place has room"] * (len(asked) - 1)
    assert [event.fields["reason"] for event in told if event.event == "run.failed"] == ([refusals[-1].message] if code else [])


def test_a_signal_ends_the_wait_for_room() -> None:
    told: list[Event] = []
    compute = Attempts([], timedelta(hours=1), refusals=[FULL])

    def show(event: Event) -> None:
        told.append(event)
        if event.event == "launch.postponed":
            os.kill(os.getpid(), signal.SIGTERM)  # to the process, whose main thread takes it

    once = Once({"g": compute}, Recorder("r", "controller", SystemClock(), show), show)
    assert once.run({"g": JOB}) is ExitCode.TERMINATED
    assert compute.asked == [0]


HOSTILE = {
    "no JSON": "\x1b]0;title\x07",
    "nothing": "",
    "a line without an end": "x" * (2 << 20),
    "another run's": encode(Event("2026-01-01T00:00:00Z", "other", "agent", 1, "run.closed", "info", None, None, {"exit_code": 0})),
    "another group's repository": encode(
        Event("2026-01-01T00:00:00Z", "r", "agent", 1, "repository.finished", "info", "three", None, {"exit_code": 0})
    ),
    "the controller's": encode(Event("2026-01-01T00:00:00Z", "r", "controller", 1, "run.closed", "info", None, None, {"exit_code": 0})),
    "no field": encode(Event("2026-01-01T00:00:00Z", "r", "agent", 1, "plan.made", "info", "one", None, {})),
    "no number": encode(Event("2026-01-01T00:00:00Z", "r", "agent", 1, "plan.made", "info", "one", None, {"stored": 1, "kept": "much"})),
    "an exit code that is none": encode(Event("2026-01-01T00:00:00Z", "r", "agent", 1, "run.closed", "info", None, None, {"exit_code": 7})),
}


@dataclass(eq=False)
class Hostile(Said):
    """An agent that begins with a line that is none of an agent's."""

    line: str = ""

    def lines(self) -> Iterator[str]:
        yield self.line
        yield from super().lines()

    def last_words(self) -> str:
        return "\x1b[2Jgone\nin two lines"


@dataclass
class HostileCompute(Attempts):
    """Its machine says such a line."""

    line: str = ""

    def launch(self, job: Job, refused: int = 0) -> Said:
        codes, status = self.rows.pop(0)
        return Hostile(job, codes, status, line=self.line)


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_machine_says_its_group_is_lost_at_worst_and_no_other(line: str) -> None:
    told: list[Event] = []
    computes = {"bad": HostileCompute([((0, 0), 0)], line=line), "good": Attempts([((0, 0), 0)])}
    once = Once(computes, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"bad": JOB, "good": JOB}) == 6
    (lost,) = (event for event in told if event.event == "agent.lost")
    assert lost.fields["group"] == "bad"
    assert lost.fields["last_words"] == "\\x1b[2Jgone\nin two lines"
    assert [event.event for event in told if event.source == "controller"][-2:] == ["run.billed", "run.closed"]
    assert all(part.isprintable() for event in told for line in Narrator().lines(event) for part in line.split("\n"))


def test_a_machine_of_another_release_is_told_as_that() -> None:
    told: list[Event] = []
    line = '{"v":2,"event":"run.started","maintainer":"9.1.0","what":"nobody here knows"}'
    once = Once({"bad": HostileCompute([((0, 0), 0)], line=line)}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"bad": JOB}) == 6
    (lost,) = (event for event in told if event.event == "agent.lost")
    ours = f"its machine runs maintainer 9.1.0, and this controller is {__version__}: install the same release on both"
    assert str(lost.fields["reason"]).endswith(ours)


def test_an_agent_that_cannot_read_its_job_says_so_in_one_line() -> None:
    job = JOB.encode().replace('"v":', '"v":9')
    ran = subprocess.run(
        [sys.executable, "-m", "maintainer.agent.main"], input=job, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"maintainer {__version__}: job: unreadable")
    assert ran.stderr.endswith("install the same release for agent and controller\n")


class Broken(Attempts):
    """A compute that nobody thought of."""

    def launch(self, job: Job, refused: int = 0) -> Said:
        raise ZeroDivisionError("nobody expected this")


def test_a_fault_of_ours_in_one_group_ends_no_other_and_the_bill_is_written() -> None:
    told: list[Event] = []
    once = Once({"bad": Broken([]), "good": Attempts([((0, 0), 0)])}, Recorder("r", "controller", SystemClock(), told.append), told.append)
    assert once.run({"bad": JOB, "good": JOB}) == 1
    assert [event.event for event in told][-2:] == ["run.billed", "run.closed"]
    assert any(event.event == "run.failed" and event.fields["group"] == "bad" for event in told)
