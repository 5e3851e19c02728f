"""One run, now: launch an agent for each group, follow it to its closing event, and say how it ended. Silence is failure."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from maintainer.core.errors import EventError, ExitCode, first
from maintainer.core.events import Event, decode, first_gap
from maintainer.edges.compute import Agent, Compute
from maintainer.edges.log import Recorder

SIGNALLED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


@dataclass
class Once:
    """A run over several groups. `sink` sees every event as it comes, the agents' and our own."""

    compute: Compute
    recorder: Recorder
    sink: Callable[[Event], None]
    received: signal.Signals | None = None
    _agent: Agent | None = field(default=None, init=False)

    def run(self, jobs: Mapping[str, str]) -> ExitCode:
        """Run each group's job, given as JSON, one after the other; a signal ends the one that runs and starts no other."""
        codes: list[ExitCode] = []
        with self._forwarding_signals():
            for group, job in jobs.items():
                if self.received is None:
                    codes.append(self._follow(group, job))
        code = SIGNALLED[self.received] if self.received is not None else first(codes)
        self.recorder.record("run.closed", exit_code=code)
        return code

    def _follow(self, group: str, job: str) -> ExitCode:
        agent = self.compute.launch(job)
        self._agent = agent
        events: list[Event] = []
        broken = ""
        try:
            for line in agent.lines():
                try:
                    event = decode(line)
                except EventError as error:
                    broken = broken or error.message
                    continue
                events.append(event)
                self.sink(event)
        finally:
            self._agent = None
            status = agent.wait()
        closing = events[-1] if events and events[-1].event == "run.closed" else None
        gap = first_gap(events, "agent")
        if closing is not None and gap is None and not broken and closing.fields["exit_code"] == status:
            return ExitCode(status)
        reason = broken or (
            f"event {gap} is missing" if gap else "it never said how it ended" if closing is None else "it ended otherwise than it said"
        )
        self.recorder.record("agent.lost", group=group, status=status, reason=reason, last_words=agent.last_words())
        return ExitCode.LOST

    @contextmanager
    def _forwarding_signals(self) -> Iterator[None]:
        def forward(number: int, _: FrameType | None) -> None:
            self.received = self.received or signal.Signals(number)
            if self._agent is not None:
                self._agent.signal(number)

        before = {number: signal.signal(number, forward) for number in SIGNALLED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
