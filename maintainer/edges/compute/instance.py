"""An agent on a machine of its own, whoever provides that: followed over SSH, and ended whatever happens."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from maintainer.core.errors import AccessDeniedError, ConnectionLostError, MaintainerError
from maintainer.core.moments import LATEST, from_text, later
from maintainer.edges import ssh
from maintainer.edges.clock import Clock
from maintainer.edges.compute.keys import Keys
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door

REACHED_WITHIN_S = 300
"""From launch to a login: what a slow boot may take."""
BEGUN_WITHIN_S = 180
"""From a login to the agent's first word: cloud-init starts it last."""
BACK_WITHIN_S = 600
"""From a cut connection to the next login; after that the run's outcome is what the state store says."""
OVERDUE = timedelta(minutes=5)
"""How long a machine may take to end itself once its deadline has passed."""
READ_S = 0.5
KNOCK_S = 0.5
"""Between two connections that nobody takes, at most: a machine that boots."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""After a connection that broke: sshd punishes whoever breaks off too often."""
LOOK_EVERY_S = 2.0
"""Whether its provider still has a machine that does not answer."""
LOST_STATUS = -1
CONSOLE_KEPT = 4_000


def knock_pause(waited_s: float) -> float:
    """Return how long to wait before the next connection: a tenth of what was waited, so that a quick boot is not made a slow one."""
    return min(KNOCK_S, max(0.05, waited_s / 10))


class Machine(Protocol):
    """A machine that an agent runs on, as its provider has it."""

    @property
    def id(self) -> str:
        """Return the provider's name for it."""

    @property
    def group(self) -> str:
        """Return the group whose run it is for."""

    def end(self) -> None:
        """End it, or what runs on it; repeating it does no harm. MaintainerError where that is not known."""

    def is_gone(self) -> bool:
        """Tell whether its provider says that it runs no more; False where it does not answer."""

    def console(self) -> str:
        """Return what it wrote to its console, as far as it can be had. MaintainerError."""

    def bill(self) -> Bill:
        """Return what it has cost until now."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a machine cost until now: `usd` is None where that is not known, and `why` says so."""

    type: str
    market: str
    seconds: int
    usd: float | None
    why: str = ""


def follow(
    machine: Machine, door: Door, about: Mapping[str, str], recorder: Recorder, clock: Clock, *, keys: Keys | None = None
) -> InstanceAgent:
    """Tell of a machine that was just launched, and return its agent. Whatever is raised, it is ended: nobody else knows of it yet.

    `about`: its type, zone, market and deadline. `keys`: for a machine that has no role.
    """
    try:
        recorder.record("instance.launched", instance=machine.id, group=machine.group, **about)
        return InstanceAgent(machine, door, recorder, clock, keys=keys, until=later(from_text(about["deadline"]), OVERDUE))
    except BaseException:
        machine.end()
        raise


class InstanceAgent:
    """An agent on a machine. Whoever has it must call `wait`, which ends the machine."""

    def __init__(
        self, machine: Machine, door: Door, recorder: Recorder, clock: Clock, *, keys: Keys | None = None, until: datetime = LATEST
    ) -> None:
        """Follow it until it ends, and not beyond `until`: a machine that goes on answering need not have a deadline of its own."""
        self._machine = machine
        self._until = until
        self._door = door
        self._recorder = recorder
        self._clock = clock
        self._keys = keys
        self.spent: float | None = None
        self.has_died = False
        self._status = LOST_STATUS
        self._words = ""
        self._wish = ""
        self._told_wish = ""
        self._hurry = threading.Event()
        self._reached = self._has_begun = False
        self._reached_at = 0.0
        self._last = self._looked = clock.monotonic()

    def lines(self) -> Iterator[str]:
        """Yield the lines that it writes, until it ends: each once, in order, through cut connections. Ends early when it is lost."""
        seen = 0
        pause = FIRST_PAUSE_S
        why = ""
        while not self._hurry.is_set():
            try:
                with ssh.connect(self._door, self._clock) as session:
                    self._note_reached()
                    pause = FIRST_PAUSE_S
                    for line in self._follow(session, seen):
                        seen += 1
                        yield line
                    if self._status == LOST_STATUS and not self._hurry.is_set():
                        self._words = self._why_lost(f"its agent said nothing within {BEGUN_WITHIN_S:.0f} s: see what cloud-init says")
                    return
            except (ConnectionLostError, AccessDeniedError) as error:
                if isinstance(error, AccessDeniedError) and not self._reached:
                    why = str(error)
                    break
                wait = knock_pause(self._clock.monotonic() - self._last)
                if not isinstance(error, ssh.NobodyAnswersError):
                    wait, pause = pause, min(pause * 2, LONGEST_PAUSE_S)
                if self._reached and error.message != why:
                    self._recorder.record("connection.lost", instance=self._machine.id, reason=error.message, lines=seen)
                why = error.message
            except ssh.HostKeyMismatchError as error:
                why = str(error)
                break
            if not self._is_worth_waiting():
                break
            self._hurry.wait(wait)
        self._words = self._why_lost(why)

    def signal(self, number: int) -> None:
        """Ask it to end in order; the second time at once."""
        if self._wish or number == signal.SIGKILL:
            self._hurry.set()
        self._wish = "stop"

    def wait(self) -> int:
        """End the instance, and return the agent's exit status; negative where nobody knows it."""
        name, group = self._machine.id, self._machine.group
        with ThreadPoolExecutor(1, thread_name_prefix="bill") as beside:
            bill = beside.submit(self._machine.bill)  # prices are asked for while it ends: what is paid for is over when that is asked for
            try:
                self._machine.end()
            except MaintainerError as error:
                # How the agent ended is known all the same; the machine ends by its deadline, or by the next sweep.
                self._recorder.record("termination.failed", instance=name, group=group, reason=error.message)
            else:
                self._recorder.record("instance.terminated", instance=name, group=group)
                self.has_died = self._has_begun and self._status == LOST_STATUS and not self._wish
            self._tell_cost(bill.result())
        return self._status

    def _tell_cost(self, bill: Bill) -> None:
        self.spent = bill.usd
        self._recorder.record(
            "instance.billed",
            instance=self._machine.id,
            group=self._machine.group,
            type=bill.type,
            market=bill.market,
            seconds=bill.seconds,
            usd=None if bill.usd is None else round(bill.usd, 6),
            why=bill.why,
        )

    def last_words(self) -> str:
        """Return the end of what it wrote beside its events, or what is left of an instance that never answered."""
        return self._words

    def _note_reached(self) -> None:
        if not self._reached:
            self._reached_at = self._clock.monotonic()
            self._recorder.record("instance.reached", instance=self._machine.id)
        self._reached = True

    def _follow(self, session: ssh.Session, seen: int) -> Iterator[str]:
        """Yield the lines after those that were seen, to the end."""
        if self._keys is not None:
            self._keys.give(session, self._machine.id)
        stream = session.follow(seen)
        while stream.exit_status is None and not self._hurry.is_set():
            lines = stream.read(READ_S)
            yield from lines
            self._last = self._clock.monotonic()
            self._has_begun = self._has_begun or bool(seen or lines)
            if not self._has_begun and self._last > self._reached_at + BEGUN_WITHIN_S:
                return
            if self._clock.now() > self._until:
                self._words = self._why_lost("its deadline has passed, and it goes on")
                self._hurry.set()
                return
            self._pass_on(session)
        self._collect(session, stream.exit_status)

    def _is_worth_waiting(self) -> bool:
        """Tell whether an instance that does not answer may still do so."""
        now = self._clock.monotonic()
        if now > self._last + (BACK_WITHIN_S if self._reached else REACHED_WITHIN_S):
            return False
        if now < self._looked + LOOK_EVERY_S:
            return True
        self._looked = now
        return not self._machine.is_gone()

    def _pass_on(self, session: ssh.Session) -> None:
        if self._keys is not None:
            self._keys.give(session, self._machine.id)
        if self._wish != self._told_wish:
            session.wish(self._wish)
            self._told_wish = self._wish

    def _collect(self, session: ssh.Session, status: int | None) -> None:
        """Take what is left to take, now that all events were read, and let the machine go."""
        if status is None:
            return
        self._status = status
        with suppress(ConnectionLostError):
            self._words = session.wish("collected")

    def _why_lost(self, why: str) -> str:
        """Say first why, then what the console says."""
        console = ""
        with suppress(MaintainerError):
            console = self._machine.console()[-CONSOLE_KEPT:]
        gone = "the instance has ended by itself" if self._machine.is_gone() else "the instance runs and does not answer"
        return f"{gone}: {why}\n{console}".strip()
