"""`compute = "ec2"`: short-lived instances of EC2, each for one agent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from maintainer.core.errors import MaintainerError
from maintainer.core.job import Job
from maintainer.core.moments import to_text
from maintainer.edges import metadata, ssh, userdata
from maintainer.edges.clock import Clock
from maintainer.edges.compute import controllers, instance
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.instance import Bill, InstanceAgent
from maintainer.edges.compute.shapes import Instance, Marks, Shape
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door


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
    def is_paid(self) -> bool:
        """Return that every instance costs."""
        return True

    @property
    def budget(self) -> float:
        """Return what a run's instances may cost before no other is launched."""
        return self.way.budget

    def clear(self, run_id: str) -> None:
        """End every instance that is left of a run and this group, whatever the attempt."""
        self.ec2.terminate([one.id for one in self.ec2.find(self.way.owner) if one.marks.is_of(self.way.group, run_id)])

    def launch(self, job: Job, refused: int = 0) -> InstanceAgent:
        """Launch an instance whose user data starts an agent on the job. NoInstanceError, AccessDeniedError, ConfigurationError."""
        pinned = replace(job, image_digest=self.shape.digests, metadata=metadata.SERVICE)
        endpoint = self.ec2.tunnels(self.way.endpoint) if self.way.endpoint else None
        host, login = ssh.generate_key(), ssh.generate_key()
        deadline = to_text(self.clock.now() + self.way.limit)
        marks = Marks(self.way.owner, pinned.run_id, self.way.group, deadline, controllers.here())
        seconds = int(self.way.limit.total_seconds())
        data = userdata.render(pinned.encode(), host_key=host, login_key=login.public, deadline_s=seconds)
        made = self.ec2.launch(self.shape, marks, data, refused)
        door = Door(made.address, self.way.ssh_port, host.public, login, endpoint)
        about = {"type": made.instance_type, "zone": made.zone, "market": made.lifecycle, "deadline": deadline}
        return instance.follow(Ec2Machine(self.ec2, made, self.clock), door, about, self.recorder, self.clock)


@dataclass(frozen=True, slots=True)
class Ec2Machine:
    """One instance."""

    ec2: Ec2
    instance: Instance
    clock: Clock

    @property
    def id(self) -> str:
        """Return the instance's id."""
        return self.instance.id

    @property
    def group(self) -> str:
        """Return the group that its tags name."""
        return self.instance.marks.group

    def end(self) -> None:
        """Terminate it."""
        self.ec2.terminate([self.id])

    def is_gone(self) -> bool:
        """Tell whether EC2 says that it runs no more."""
        try:
            found = self.ec2.look(self.id)
        except MaintainerError:
            return False
        return found is None or found.is_ended

    def console(self) -> str:
        """Return what EC2 has of its console."""
        return self.ec2.console(self.id)

    def bill(self) -> Bill:
        """Return its seconds at the spot price that was paid, or at the list's."""
        one, ended = self.instance, self.clock.now()
        usd, why = self.ec2.cost(one, ended)
        return Bill(one.instance_type, one.lifecycle, round((ended - one.launched).total_seconds()), usd, why)
