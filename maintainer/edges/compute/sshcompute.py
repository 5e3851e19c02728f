"""`compute = "ssh"`: a machine that is there already, whose account may do nothing but run agents (`maintainer-agent resident`)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import tenacity

from maintainer import __version__
from maintainer.core.errors import AccessDeniedError, ConfigurationError, ConnectionLostError, MaintainerError, NoInstanceError, Problem
from maintainer.core.job import Access, Job
from maintainer.core.moments import to_text
from maintainer.edges import ssh
from maintainer.edges.clock import Clock
from maintainer.edges.compute import controllers, instance
from maintainer.edges.compute.instance import Bill, InstanceAgent
from maintainer.edges.compute.shapes import Marks
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door, KeyPair

FORCED = 'restrict,command="/opt/maintainer/bin/maintainer-agent resident"'
"""What stands before the key in the account's authorized_keys."""
TRIES, PAUSE_S = 3, 2.0
"""How often one request is made, when its connection breaks: each may be repeated. A launch has the group's patience besides."""
ANSWERED_WITHIN_S = 60.0
"""More than the machine takes to start a keeper, or to kill what does not end."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Which machine it is, and for whom: its host key is pinned. `profile` names the credentials that the machine itself has."""

    owner: str
    group: str
    address: str
    port: int
    user: str
    host_key: str
    limit: timedelta
    patience: timedelta
    profile: str = ""
    restic: str = "restic"


@dataclass(frozen=True, slots=True)
class Left:
    """A run that has a folder on the machine; `runs`: its keeper lives."""

    run: str
    marks: Marks
    runs: bool


@dataclass(frozen=True, slots=True)
class SshCompute:
    """The runs of one group on one machine. `login` gives the key that opens, when it is needed. ConfigurationError, SecretError."""

    machine: Standing
    login: Callable[[], KeyPair]
    recorder: Recorder
    clock: Clock
    budget: float = 0.0
    is_paid: bool = False

    @property
    def patience(self) -> timedelta:
        """Return how long a run goes on trying to reach it."""
        return self.machine.patience

    def launch(self, job: Job, refused: int = 0) -> InstanceAgent:  # noqa: ARG002 - there is no other machine to turn to
        """Begin the job there. NoInstanceError where nobody answers; AccessDeniedError, ConfigurationError, HostKeyMismatchError."""
        one = self.machine
        began = self.clock.now()
        deadline = to_text(began + one.limit)
        marks = Marks(one.owner, job.run_id, one.group, deadline, controllers.here())
        run = f"{one.group}.{job.run_id}"
        there = {"maintainer": __version__, "limit_s": int(one.limit.total_seconds()), "marks": asdict(marks), "job": self._as_there(job)}
        self._end_dead()
        self._ask(f"begin {run}", json.dumps(there).encode())
        name = f"{run} on {one.address}"
        about = {"type": "", "zone": "", "market": "ssh", "deadline": deadline}
        return instance.follow(StandingMachine(self, run, name, began), self._door(run), about, self.recorder, self.clock)

    def clear(self, run_id: str) -> None:
        """End what is left there of a run of this group, or of its earlier attempts."""
        for one in self.left():
            if one.marks.is_of(self.machine.group, run_id):
                self.end(one.run)

    def left(self, tries: int = TRIES) -> list[Left]:
        """Return what is there of this group and owner, whether it still runs or not. NoInstanceError where nobody answers."""
        found = [json.loads(line) for line in self._ask("list", tries=tries).splitlines()]
        every = [Left(one["run"], Marks(**one["marks"]), one["runs"]) for one in found]
        return [one for one in every if (one.marks.owner, one.marks.group) == (self.machine.owner, self.machine.group)]

    def about(self) -> dict[str, str]:
        """Return which versions of `maintainer` and `restic` are there; empty where it can not be run. As `left`."""
        return dict(json.loads(self._ask(f"about {self.machine.restic}", tries=1)))

    def end(self, run: str) -> None:
        """Kill what runs of it, and remove what it left; repeating it does no harm. MaintainerError."""
        self._ask(f"end {run}")

    def _end_dead(self) -> None:
        """End what nobody follows any more: this run settles its work."""
        for one in self.left():
            if controllers.why_orphaned(one.marks, self.clock.now()):
                self.end(one.run)

    def _as_there(self, job: Job) -> object:
        """Return the job as it holds there, where the machine's own credentials and restic serve."""
        here = job.access
        access = Access(endpoint=here.endpoint, region=here.region, profile=self.machine.profile)
        return json.loads(job.elsewhere(access, self.machine.restic).encode())

    def _door(self, run: str = "") -> Door:
        one = self.machine
        return Door(one.address, one.port, one.host_key, self.login(), user=one.user, run=run)

    def _ask(self, command: str, given: bytes = b"", tries: int = TRIES) -> str:
        """Ask once, and again when the connection breaks; return what was answered."""
        one = self.machine
        door = self._door()
        with _told(one, door):
            for attempt in tenacity.Retrying(
                retry=tenacity.retry_if_exception(lambda e: isinstance(e, ConnectionLostError) and not isinstance(e, ssh.RefusedError)),
                stop=tenacity.stop_after_attempt(tries),
                wait=tenacity.wait_fixed(PAUSE_S),
                sleep=self.clock.sleep,
                reraise=True,
            ):
                with attempt, ssh.connect(door, self.clock) as session:
                    status, said = session.ask(command, given, within_s=ANSWERED_WITHIN_S)
        if status:
            verb = command.partition(" ")[0]
            problem = Problem(
                f"group.{one.group}.machine",
                f"{one.address} refused `{verb}`: {said.strip() or f'status {status}'}",
                f"maintainer {__version__} there, and {FORCED} before this key in authorized_keys",
                "install or correct what it names; docs/machines.md says how such a machine is made",
            )
            raise ConfigurationError((problem,))
        return said


@contextmanager
def _told(one: Standing, door: Door) -> Iterator[None]:
    """Tell a connection that did not come to be as what it means for a launch."""
    try:
        yield
    except ssh.RefusedError as error:
        line = f"{FORCED} {door.login.public}"
        raise AccessDeniedError(
            f"{one.address} port {one.port} does not let {one.user} in: {error.message}",
            guidance=f"put this line into ~/.ssh/authorized_keys of {one.user} there: {line}",
        ) from error
    except ConnectionLostError as error:
        do = "is it on, and is there a way there? A later try, or the next run, goes on"
        raise NoInstanceError(f"the machine does not answer: {error.message}", guidance=do, may_pass=True) from error


@dataclass(frozen=True, slots=True)
class StandingMachine:
    """One run there, as InstanceAgent ends and bills it."""

    compute: SshCompute
    run: str
    name: str
    began: datetime

    @property
    def id(self) -> str:
        """Return the run's name there, and where that is."""
        return self.name

    @property
    def group(self) -> str:
        """Return its group."""
        return self.compute.machine.group

    def end(self) -> None:
        """End the run there; the machine stays."""
        self.compute.end(self.run)

    def is_gone(self) -> bool:
        """Tell whether somebody ended the run there; False where the machine does not answer: it may be starting anew."""
        try:
            return all(one.run != self.run for one in self.compute.left(tries=1))
        except MaintainerError:
            return False

    def console(self) -> str:
        """Return nothing: what the keeper wrote comes with the last words."""
        return ""

    def bill(self) -> Bill:
        """Return how long it ran: a machine that stays costs no more for it."""
        return Bill("", "ssh", round((self.compute.clock.now() - self.began).total_seconds()), 0.0)
