"""A gateway's instances: a new one from the pinned image takes over when it answers, and only then the old ones end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maintainer.core.errors import MaintainerError, NoInstanceError
from maintainer.core.gateway import GatewayJob
from maintainer.edges import userdata
from maintainer.edges.clock import Clock
from maintainer.edges.compute.shapes import GATEWAY, Elastic, Instance, Marks, Shape
from maintainer.edges.knock import Answer, Door, knock
from maintainer.edges.log import Recorder

if TYPE_CHECKING:
    from maintainer.edges.compute.ec2 import Ec2

KNOCK_S = 0.5
CONSOLE_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class Gateway:
    """A group's gateway. `owner`: whose instances; `name`: what the certificate names; `trusted`: certificates in PEM that may say so."""

    owner: str
    group: str
    shape: Shape
    allocation: str
    name: str
    trusted: str
    job: GatewayJob

    @property
    def mark(self) -> str:
        """Return what its instances are tagged with in the place of a group."""
        return f"{self.group}{GATEWAY}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a gateway is: who has its address, every instance of it, and what the one that serves answers."""

    elastic: Elastic
    instances: tuple[Instance, ...]
    answer: Answer

    @property
    def serving(self) -> Instance | None:
        """Return the instance that has the address."""
        return next((one for one in self.instances if one.id == self.elastic.instance), None)


def recycle(gateway: Gateway, run_id: str, ec2: Ec2, clock: Clock, recorder: Recorder, *, within_s: float) -> Instance:
    """Launch a new instance, give it the address once it answers, which may take `within_s`, and end all others.

    NoInstanceError where it never answers: then it is ended, and the old one goes on. ConfigurationError, AccessDeniedError. Whatever is
    raised, the instance that has the address is left to serve.
    """
    ec2.elastic(gateway.allocation)
    before = [one for one in ec2.find(gateway.owner) if one.marks.group == gateway.mark]
    # No deadline and no controller: it serves until the next has taken over, and no sweep ends it.
    marks = Marks(gateway.owner, run_id, gateway.mark, deadline="", controller="")
    instance = ec2.launch(gateway.shape, marks, userdata.render_gateway(gateway.job))
    try:
        what = {"type": instance.instance_type, "zone": instance.zone, "market": instance.lifecycle}
        recorder.record("gateway.launched", group=gateway.group, instance=instance.id, **what)
        began = clock.monotonic()
        _wait(gateway, instance, ec2, clock, began + within_s)
        recorder.record("gateway.answered", group=gateway.group, instance=instance.id, seconds=round(clock.monotonic() - began, 1))
        ec2.move(gateway.allocation, instance.id)
    except BaseException:
        # A move that failed may have had its effect. Where that is not known both are left: the next recycling ends all but its own.
        with suppress(MaintainerError):
            if ec2.elastic(gateway.allocation).instance != instance.id:
                ec2.terminate([instance.id])
        raise
    recorder.record("gateway.moved", group=gateway.group, instance=instance.id, address=gateway.name)
    for old in before:
        ec2.terminate([old.id])
        recorder.record("gateway.ended", group=gateway.group, instance=old.id)
    return instance


def look(gateway: Gateway, ec2: Ec2) -> Standing:
    """Tell how a gateway is, by what EC2 says and by knocking at its address."""
    elastic = ec2.elastic(gateway.allocation)
    instances = tuple(one for one in ec2.find(gateway.owner) if one.marks.group == gateway.mark)
    door = Door(elastic.address, gateway.job.port, gateway.name, gateway.trusted)
    answer = knock(door) if elastic.instance else Answer("nothing has its address")
    return Standing(elastic, instances, answer)


def _wait(gateway: Gateway, instance: Instance, ec2: Ec2, clock: Clock, until: float) -> None:
    """Wait until an instance answers, by its private address or by its public one: whichever leads there from here."""
    why = "it was never asked"
    while clock.monotonic() < until:
        found = ec2.look(instance.id)
        if found is None or found.is_ended:
            why = "it has ended"
            break
        for address in filter(None, (found.address, found.public)):
            why = knock(Door(address, gateway.job.port, gateway.name, gateway.trusted)).why
            if not why:
                return
        clock.sleep(KNOCK_S)
    raise NoInstanceError(
        f"the new gateway {instance.id} did not come: {why}",
        guidance=f"the old one, if there is one, goes on; its last words: {ec2.console(instance.id).strip()[-CONSOLE_KEPT:]}",
    )
