"""`compute = "ec2"`: the agent on a short-lived instance, followed over SSH, and ended whatever happens."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

from maintainer.core.errors import AccessDeniedError, ConnectionLostError, MaintainerError
from maintainer.core.job import Job
from maintainer.core.moments import to_text
from maintainer.edges import metadata, ssh, userdata
from maintainer.edges.clock import Clock
from maintainer.edges.compute import controllers
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.shapes import Instance, Marks, Shape
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door

REACHED_WITHIN_S = 300
"""From launch to a login: what a slow boot may take."""
BEGUN_WITHIN_S = 180
"""From a login to the agent's first word: cloud-init starts it last."""
BACK_WITHIN_S = 600
"""From a cut connection to the next login; after that the run's outcome is what the state store says."""
READ_S = 0.5
KNOCK_S = 0.5
"""Between two connections that nobody takes: a machine that boots."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""After a connection that broke: sshd punishes whoever breaks off too often."""
LOOK_EVERY_S = 2.0
"""Whether EC2 still has an instance that does not answer."""
LOST_STATUS = -1
CONSOLE_KEPT = 4_000


@dataclass(frozen=True, slots=True)
class Way:
    """Whose an instance is, for which group, how it is reached, how long it may live, and how long a run looks for one.

    maintainer sweep ends an owner's own alone.
    """

    owner: str
    group: str
    ssh_port: int
    limit: timedelta
    patience: timedelta = timedelta(0)
    budget: float = 0.0
    endpoint: str = ""
    """The id of an EC2 Instance Connect Endpoint; empty where the controller is in the instance's network."""


@dataclass(frozen=True, slots=True)
class Ec2Compute:
    """The instances of one group."""

    ec2: Ec2
    shape: Shape
    way: Way
    recorder: Recorder
    clock: Clock

    @property
    def patience(self) -> timedelta:
        """Return how long a run goes on trying to get an instance."""
        return self.way.patience

    @property
    def budget(self) -> float:
        """Return what a run's instances may cost before no other is launched."""
        return self.way.budget

    def clear(self, run_id: str) -> None:
        """End every instance that is left of a run and this group, whatever the attempt."""
        found = [one for one in self.ec2.find(self.way.owner) if one.marks.group == self.way.group]
        left = [one.id for one in found if one.marks.run_id == run_id or one.marks.run_id.startswith(f"{run_id}-")]
        self.ec2.terminate(left)

    def launch(self, job: Job, refused: int = 0) -> InstanceAgent:
        """Launch an instance whose user data starts an agent on the job. NoInstanceError, AccessDeniedError, ConfigurationError."""
        pinned = replace(job, image_digest=self.shape.digests, metadata=metadata.SERVICE)
        endpoint = self.ec2.tunnels(self.way.endpoint) if self.way.endpoint else None
        host, login = ssh.generate_key(), ssh.generate_key()
        deadline = to_text(self.clock.now() + self.way.limit)
        marks = Marks(self.way.owner, pinned.run_id, self.way.group, deadline, controllers.here())
        seconds = int(self.way.limit.total_seconds())
        data = userdata.render(pinned.encode(), host_key=host, login_key=login.public, deadline_s=seconds)
        instance = self.ec2.launch(self.shape, marks, data, refused)
        try:
            self.recorder.record(
                "instance.launched",
                instance=instance.id,
                group=self.way.group,
                type=instance.instance_type,
                zone=instance.zone,
                market=instance.lifecycle,
                deadline=deadline,
            )
            door = Door(instance.address, self.way.ssh_port, host.public, login, endpoint)
            return InstanceAgent(self.ec2, instance, door, self.recorder, self.clock)
        except BaseException:  # nobody else knows of it yet
            self.ec2.terminate([instance.id])
            raise


class InstanceAgent:
    """An agent on an instance. Whoever has it must call `wait`, which ends the instance."""

    def __init__(self, ec2: Ec2, instance: Instance, door: Door, recorder: Recorder, clock: Clock) -> None:
        self._ec2 = ec2
        self._instance = instance
        self._door = door
        self._recorder = recorder
        self._clock = clock
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
                wait = KNOCK_S
                if not isinstance(error, ssh.NobodyAnswersError):
                    wait, pause = pause, min(pause * 2, LONGEST_PAUSE_S)
                if self._reached and error.message != why:
                    self._recorder.record("connection.lost", instance=self._instance.id, reason=error.message, lines=seen)
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
        name, group = self._instance.id, self._instance.marks.group
        try:
            self._ec2.terminate([name])
        except MaintainerError as error:
            # How the agent ended is known all the same; the machine ends by its deadline, or by the next sweep.
            self._recorder.record("termination.failed", instance=name, group=group, reason=error.message)
        else:
            self._recorder.record("instance.terminated", instance=name, group=group)
            self.has_died = self._has_begun and self._status == LOST_STATUS and not self._wish
        self._tell_cost()
        return self._status

    def _tell_cost(self) -> None:
        one, ended = self._instance, self._clock.now()
        usd, why = self._ec2.cost(one, ended)
        self.spent = usd
        self._recorder.record(
            "instance.billed",
            instance=one.id,
            group=one.marks.group,
            type=one.instance_type,
            market=one.lifecycle,
            seconds=round((ended - one.launched).total_seconds()),
            usd=None if usd is None else round(usd, 6),
            why=why,
        )

    def last_words(self) -> str:
        """Return the end of what it wrote beside its events, or what is left of an instance that never answered."""
        return self._words

    def _note_reached(self) -> None:
        if not self._reached:
            self._reached_at = self._clock.monotonic()
            self._recorder.record("instance.reached", instance=self._instance.id)
        self._reached = True

    def _follow(self, session: ssh.Session, seen: int) -> Iterator[str]:
        """Yield the lines after those that were seen, to the end."""
        stream = session.follow(seen)
        while stream.exit_status is None and not self._hurry.is_set():
            lines = stream.read(READ_S)
            yield from lines
            self._last = self._clock.monotonic()
            self._has_begun = self._has_begun or bool(seen or lines)
            if not self._has_begun and self._last > self._reached_at + BEGUN_WITHIN_S:
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
        return not self._is_gone()

    def _pass_on(self, session: ssh.Session) -> None:
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

    def _is_gone(self) -> bool:
        try:
            found = self._ec2.look(self._instance.id)
        except MaintainerError:
            return False
        return found is None or found.is_ended

    def _why_lost(self, why: str) -> str:
        """Say first why, then what the console says."""
        console = ""
        with suppress(MaintainerError):
            console = self._ec2.console(self._instance.id)[-CONSOLE_KEPT:]
        gone = "the instance has ended by itself" if self._is_gone() else "the instance runs and does not answer"
        return f"{gone}: {why}\n{console}".strip()
