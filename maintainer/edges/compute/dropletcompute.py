"""`compute = "digitalocean"`: short-lived droplets, each for one agent. A droplet has no role: the store's keys come over SSH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from maintainer.core.costs import of_droplet
from maintainer.core.errors import ConfigurationError, MaintainerError, Problem
from maintainer.core.job import Job
from maintainer.core.moments import to_text
from maintainer.edges import ssh, userdata
from maintainer.edges.clock import Clock
from maintainer.edges.compute import controllers, instance
from maintainer.edges.compute.droplets import Droplet, Droplets, DropletShape, name_of
from maintainer.edges.compute.instance import Bill, InstanceAgent
from maintainer.edges.compute.keys import Keys
from maintainer.edges.compute.shapes import Marks
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door

LIMIT = 64 * 1024
"""Bytes of user data that the API takes (its reference, "Create a New Droplet")."""
MARKET = "droplet"


@dataclass(frozen=True, slots=True)
class DropletWay:
    """Whose a droplet is, for which group, how it is reached, how long it may live, and how long a run looks for one."""

    owner: str
    group: str
    ssh_port: int
    limit: timedelta
    patience: timedelta
    budget: float = 0.0


@dataclass(frozen=True, slots=True)
class DropletCompute:
    """The droplets of one group. `keys` reads the keys of the store from their source."""

    api: Droplets
    shape: DropletShape
    way: DropletWay
    keys: Callable[[], str]
    recorder: Recorder
    clock: Clock
    is_paid: bool = True

    @property
    def patience(self) -> timedelta:
        """Return how long a run goes on trying to get a droplet."""
        return self.way.patience

    @property
    def budget(self) -> float:
        """Return what a run's droplets may cost before no other is created."""
        return self.way.budget

    def clear(self, run_id: str) -> None:
        """Destroy every droplet that is left of a run and this group, whatever the attempt."""
        for one in self.api.find(self.way.owner):
            if one.marks.is_of(self.way.group, run_id):
                self.api.end(one)

    def fetch_keys(self) -> Keys:
        """Read the keys of the store, to be given to a droplet. SecretError."""
        keys = Keys(self.keys, self.clock, self.recorder)
        keys.fetch()
        return keys

    def launch(self, job: Job, refused: int = 0) -> InstanceAgent:  # noqa: ARG002 - the API remembers no answer
        """Create a droplet whose user data starts an agent on the job. SecretError, and what `Droplets` raises."""
        keys = self.fetch_keys()
        self.api.check_image(self.shape)
        host, login = ssh.generate_key(), ssh.generate_key()
        deadline = to_text(self.clock.now() + self.way.limit)
        marks = Marks(self.way.owner, job.run_id, self.way.group, deadline, controllers.here())
        pinned = replace(job, image_digest=self.shape.digest).encode()
        seconds = int(self.way.limit.total_seconds())
        data = userdata.cloud_config(pinned, host_key=host, login_key=login.public, deadline_s=seconds, has_role=False)
        if len(data.encode()) > LIMIT:
            found = f"a group whose job takes {len(data.encode())} bytes of user data"
            raise ConfigurationError((Problem("[[repository]]", found, f"at most {LIMIT} bytes", "split the group into two"),))
        droplet = self.api.create(self.shape, marks, data)
        machine = DropletMachine(self.api, droplet, self.clock)
        door = Door(droplet.addresses[self.shape.network], self.way.ssh_port, host.public, login)
        about = {"type": droplet.size, "zone": droplet.region, "market": MARKET, "deadline": deadline}
        return instance.follow(machine, door, about, self.recorder, self.clock, keys=keys)


@dataclass(frozen=True, slots=True)
class DropletMachine:
    """One droplet."""

    api: Droplets
    droplet: Droplet
    clock: Clock

    @property
    def id(self) -> str:
        """Return its name for people and logs."""
        return name_of(self.droplet)

    @property
    def group(self) -> str:
        """Return the group whose run it is for."""
        return self.droplet.marks.group

    def end(self) -> None:
        """Destroy it, and a twin that a lost answer may have left: that one never had keys."""
        self.api.end(self.droplet)

    def is_gone(self) -> bool:
        """Tell whether it is destroyed, or has powered itself off."""
        try:
            found = self.api.look(self.droplet.id)
        except MaintainerError:
            return False
        return found is None or found.is_off

    def console(self) -> str:
        """Say where its console is: the API hands none out."""
        return "DigitalOcean's API hands no console out"

    def bill(self) -> Bill:
        """Return its seconds at its size's price."""
        ended = self.clock.now()
        usd = of_droplet(self.droplet.usd_hour, self.droplet.created, ended)
        return Bill(self.droplet.size, MARKET, round((ended - self.droplet.created).total_seconds()), usd)
