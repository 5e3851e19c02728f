"""One run, now: launch an agent for each group, follow it to its closing event, and say how it ended. Silence is failure."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from maintainer import __version__
from maintainer.core.costs import StorePrices, total
from maintainer.core.errors import ExitCode, MaintainerError, NoInstanceError, first
from maintainer.core.events import Event, Json, escape_lines
from maintainer.core.hearing import Heard
from maintainer.core.job import Job
from maintainer.edges.clock import Clock, SystemClock
from maintainer.edges.compute import Agent, Compute
from maintainer.edges.log import Recorder, diagnostics

ATTEMPTS = 3
"""How often one run launches an instance for a group, when EC2 takes them back."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 30.0, 300.0
"""Between two launches, where no place had room."""
SHELL = 128
"""What a shell adds to a signal's number."""
SIGNALLED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@dataclass(frozen=True, slots=True)
class _Ended:
    """How an agent ended, what was heard of it and what it cost; `has_died`: its machine was lost, and runs no more."""

    code: ExitCode
    heard: Heard = field(default_factory=lambda: Heard("", ()))
    spent: float | None = 0.0
    has_died: bool = False

    @property
    def is_interrupted(self) -> bool:
        """Tell whether another instance may do what is left: this one was taken back, with a notice or without."""
        noticed = self.code is ExitCode.NO_INSTANCE and self.heard.is_interrupted
        return noticed or (self.code is ExitCode.LOST and self.has_died)


def _whole(value: Json) -> int:
    """Return a number of an event, which was checked where it was read."""
    return value if isinstance(value, int) else 0


@dataclass(frozen=True, slots=True)
class Month:
    """What a calendar month's runs may cost, in USD, and what those before this one have."""

    budget: float
    spent: float


@dataclass
class Once:
    """A run over several groups, each on its own compute. `sink` sees every event as it comes, from several threads."""

    computes: Mapping[str, Compute]
    recorder: Recorder
    sink: Callable[[Event], None]
    received: signal.Signals | None = None
    at_once: int = 20
    """Groups that run at the same time; the others wait for one of them to end."""
    month: Month | None = None
    clock: Clock = field(default_factory=SystemClock)
    """Of the real time: what is waited for passes by it."""
    usd: float | None = field(default=0.0, init=False)
    """What the run has cost, once it has ended; None where that is not known."""
    _costs: list[float | None] = field(default_factory=list, init=False)
    _reads: int = field(default=0, init=False)
    _writes: int = field(default=0, init=False)
    _kept: dict[str, int] = field(default_factory=dict, init=False)
    """By repository: bytes of the versions that are kept below those on top, as evidence."""
    _stopped: threading.Event = field(default_factory=threading.Event, init=False)
    _agents: set[Agent] = field(default_factory=set, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def run(self, jobs: Mapping[str, Job]) -> ExitCode:
        """Run each group's job, so many at the same time; a signal ends those that run and starts no other."""
        with self._forwarding_signals(), ThreadPoolExecutor(min(max(len(jobs), 1), self.at_once), thread_name_prefix="group") as pool:
            codes = list(pool.map(lambda one: self._guarded(*one), jobs.items()))
        self._tell_cost()
        code = signalled if (signalled := self._signalled()) is not None else first(codes)
        self.recorder.record("run.closed", exit_code=code)
        return code

    def _tell_cost(self) -> None:
        """Write what the run cost, as far as it is known."""
        prices, kept = StorePrices(), sum(self._kept.values())
        requests = prices.of(self._reads, self._writes)
        self.usd = usd = total((*self._costs, requests))
        self.recorder.record(
            "run.billed",
            usd=None if usd is None else round(usd, 6),
            instances=[None if one is None else round(one, 6) for one in self._costs],
            requests=round(requests, 6),
            reads=self._reads,
            writes=self._writes,
            kept=kept,
            kept_usd_month=round(prices.of_month(kept), 6),
            **({} if self.month is None else {"month_budget": self.month.budget, "month_before": round(self.month.spent, 6)}),
        )

    def _note(self, event: Event) -> None:
        if event.event == "plan.made" and event.repository is not None:
            with self._lock:
                self._kept[event.repository] = _whole(event.fields["kept"])
        if event.event == "repository.finished":
            with self._lock:
                self._reads += _whole(event.fields["reads"])
                self._writes += _whole(event.fields["writes"])

    def _guarded(self, group: str, job: Job) -> ExitCode:
        """Run a group's job; what nobody expected ends this group alone, and is told as our fault."""
        try:
            return self._attempt(group, job)
        except Exception as error:  # noqa: BLE001 - the other groups must have their night, and the run its bill
            diagnostics().exception("unexpected", group=group)
            reason, do = f"{type(error).__name__}: {error}", "this is a fault of maintainer: please report it"
            self.recorder.record("run.failed", group=group, reason=reason, guidance=do, exit_code=ExitCode.FAULT)
            return ExitCode.FAULT

    def _attempt(self, group: str, job: Job) -> ExitCode:
        """Run a group's job, and what an interruption left of it again: as a run of its own, since each has its own events and writes.

        A repository whose end was not seen may have been committed: the next attempt finishes what is left of that, and settles it.
        """
        codes: list[ExitCode] = []
        unknown: list[ExitCode] = []  # of what a lost agent left, until another has ended in order
        left = job
        spent: float | None = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            if attempt > 1:
                left = replace(left, run_id=f"{job.run_id}-{attempt}")
                self.recorder.record(
                    "attempt.started",
                    group=group,
                    attempt=attempt,
                    of=ATTEMPTS,
                    run=left.run_id,
                    repositories=[one.name for one in left.repositories],
                )
            ended = self._follow(group, left)
            spent = total((spent, ended.spent))
            if not ended.is_interrupted:
                return first([*codes, ended.code, *([] if ended.heard.has_begun else unknown)])
            if ended.code is ExitCode.LOST:
                unknown = [ExitCode.LOST]
            done = ended.heard.done
            codes += [ExitCode(one) for one in done.values()]
            left = replace(left, repositories=tuple(one for one in left.repositories if one.name not in done))
            if not left.repositories:
                return first(codes)
            if (why := self._over_budget(group, spent)) is not None:
                return first([*codes, *unknown, self._tell(group, why)])
        if ended.code is ExitCode.LOST:
            return first([*codes, ended.code])
        error = NoInstanceError(
            f"EC2 took the instance back {ATTEMPTS} times; not maintained: {', '.join(one.name for one in left.repositories)}",
            guidance='name more types or subnets, or market = ["on-demand"]; the next run tries again',
        )
        return first([*codes, *unknown, self._tell(group, error)])

    def _over_budget(self, group: str, spent: float | None) -> NoInstanceError | None:
        """Return why no other instance is launched, where the run's budget says so; what is not known is over it."""
        budget = self.computes[group].budget
        if not budget or (spent is not None and spent < budget):
            return None
        told = "an amount that is not known" if spent is None else f"{spent:.4f} USD"
        return NoInstanceError(
            f"this run's instances have cost {told}, and its budget is {budget:.2f} USD: no other is launched",
            guidance="raise run_budget, or let the next run go on",
        )

    def _check_month(self, group: str) -> None:
        """Raise NoInstanceError where the month's runs, with what this one has spent so far, have used its budget up."""
        if self.month is None or not self.computes[group].is_paid:
            return
        with self._lock:
            spent = self.month.spent + sum(one or 0.0 for one in self._costs)
        if spent >= self.month.budget:
            raise NoInstanceError(
                f"this month's runs have cost {spent:.4f} USD, and month_budget is {self.month.budget:.2f} USD: no instance is launched",
                guidance="raise month_budget of [run]; else nothing is maintained or verified until the next month (UTC)",
            )

    def _follow(self, group: str, job: Job) -> _Ended:
        """Run one agent to its end."""
        try:
            if (code := self._signalled()) is not None:
                return _Ended(code)
            agent = self._launch(group, job)
        except MaintainerError as error:
            return _Ended(self._tell(group, error))
        if agent is None:
            return _Ended(self._signalled() or ExitCode.NO_INSTANCE)
        heard = Heard(job.run_id, {one.name for one in job.repositories})
        try:
            with self._lock:
                self._agents.add(agent)
                if (code := self._signalled()) is not None:
                    agent.signal(code - SHELL)
            for line in agent.lines():
                if (event := heard.take(line)) is not None:
                    self._note(event)
                    self.sink(event)
        finally:
            with self._lock:
                self._agents.discard(agent)
            status = agent.wait()
            with self._lock:
                self._costs.append(agent.spent)
        closing, gap, broken = heard.closing, heard.gap, heard.broken
        if closing is not None and gap is None and not broken and closing.fields["exit_code"] == status:
            return _Ended(ExitCode(status), heard, agent.spent)
        reason = broken or (
            f"event {gap} is missing" if gap else "it never said how it ended" if closing is None else "it ended otherwise than it said"
        )
        reason = "; ".join(filter(None, (reason, heard.blame_release(__version__))))
        self.recorder.record("agent.lost", group=group, status=status, reason=reason, last_words=escape_lines(agent.last_words()))
        # Of a stream with a hole in it nobody knows what was finished.
        return _Ended(ExitCode.LOST, heard, agent.spent, has_died=agent.has_died and gap is None and not broken)

    def _launch(self, group: str, job: Job) -> Agent | None:
        """Launch an agent, and try again later while the group's patience lasts; return None where a signal came first."""
        compute = self.computes[group]
        until = self.clock.monotonic() + compute.patience.total_seconds()
        pause, refused = FIRST_PAUSE_S, 0
        while True:
            self._check_month(group)
            try:
                if refused or job.run_id != self.recorder.run_id:  # a later attempt's machine must be the only one
                    compute.clear(self.recorder.run_id)
                return compute.launch(job, refused)
            except NoInstanceError as error:
                if not error.may_pass or self.clock.monotonic() + pause > until:
                    raise
                self.recorder.record("launch.postponed", group=group, reason=error.message, guidance=error.guidance, seconds=pause)
            if self._stopped.wait(pause):
                return None
            pause, refused = min(pause * 2, LONGEST_PAUSE_S), refused + 1

    def _signalled(self) -> ExitCode | None:
        with self._lock:
            return SIGNALLED[self.received] if self.received is not None else None

    def _tell(self, group: str, error: MaintainerError) -> ExitCode:
        """Write why a group's agent did not start."""
        for reason, guidance in error.reasons():
            self.recorder.record("run.failed", group=group, reason=reason, guidance=guidance, exit_code=error.exit_code)
        return error.exit_code

    @contextmanager
    def _forwarding_signals(self) -> Iterator[None]:
        def forward(number: int, _: FrameType | None) -> None:
            self._stopped.set()
            with self._lock:
                self.received = self.received or signal.Signals(number)
                for agent in self._agents:
                    agent.signal(number)

        before = {number: signal.signal(number, forward) for number in SIGNALLED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
