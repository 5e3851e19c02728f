"""Orphans: what is ours in EC2, at DigitalOcean, or on a machine that stays, and no living controller follows or uses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from maintainer.core.costs import of_droplet, of_volume
from maintainer.core.errors import AccessDeniedError, ExitCode, MaintainerError, first
from maintainer.edges.clock import Clock
from maintainer.edges.compute import remains
from maintainer.edges.compute.controllers import why_orphaned
from maintainer.edges.compute.droplets import Droplets, name_of
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.remains import KINDS, Remain
from maintainer.edges.compute.shapes import GATEWAY, Instance, Marks
from maintainer.edges.compute.sshcompute import SshCompute
from maintainer.edges.log import Recorder

INSTANCE, RUN, DROPLET = "instance", "run", "droplet"
PAID = (INSTANCE, DROPLET)
AT_ONCE = ("launch-template",)
"""What a run looks for beside instances, before it launches its own; maintainer sweep looks for all."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """One of them, by its provider's name for it. `made`: since when it is there, where that is known. `why` says how we know.

    `usd` is what it has cost since then, None where that is not known; `end` ends it. `region` is EC2's, DigitalOcean's, or the address
    of a machine that stays.
    """

    region: str
    kind: str
    id: str
    marks: Marks
    made: datetime | None
    why: str
    usd: float | None
    end: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, and the kinds of which we may not know whether there are any: each with why."""

    orphans: tuple[Orphan, ...]
    unseen: tuple[tuple[str, str], ...]


def find(ec2: Ec2, owner: str, clock: Clock, *, everything: bool = False, kinds: Collection[str] | None = None) -> Found:
    """Return the owner's orphans: past their deadline, or made for a process that is known to be dead. `everything` doubts nothing.

    Gateways' instances are none: each ends when the next has taken over. `kinds`: of what, beside instances; all where left out.
    """
    unseen: list[tuple[str, str]] = []

    def things() -> Iterator[Instance | Remain]:
        yield from (one for one in ec2.find(owner) if not one.marks.group.endswith(GATEWAY))
        for kind in KINDS:
            if kinds is not None and kind.name not in kinds:
                continue
            try:
                yield from remains.find(ec2, owner, kind)
            except AccessDeniedError as error:
                unseen.append((kind.name, error.message))

    def end(thing: Instance | Remain) -> None:
        if isinstance(thing, Remain):
            remains.delete(ec2, thing)
        else:
            ec2.terminate([thing.id])

    now = clock.now()
    orphans = tuple(
        Orphan(
            ec2.region,
            one.kind if isinstance(one, Remain) else INSTANCE,
            one.id,
            one.marks,
            one.made if isinstance(one, Remain) else one.launched,
            why,
            _cost(ec2, one, now),
            partial(end, one),
        )
        for one in things()
        if (why := _judge(one.marks, now, everything=everything))
    )
    return Found(orphans, tuple(unseen))


def find_runs(compute: SshCompute, clock: Clock, *, everything: bool = False) -> Found:
    """Return a group's orphans on its machine that stays, by the same judgement; that nobody answers there keeps no other from its end."""
    now = clock.now()
    try:
        left = compute.left()
    except MaintainerError as error:
        return Found((), ((RUN, error.message),))
    orphans = (
        Orphan(compute.machine.address, RUN, one.run, one.marks, None, why, 0.0, partial(compute.end, one.run))
        for one in left
        if (why := _judge(one.marks, now, everything=everything))
    )
    return Found(tuple(orphans), ())


def find_droplets(api: Droplets, owner: str, clock: Clock, *, everything: bool = False) -> Found:
    """Return the owner's orphans among an account's droplets, by the same judgement: one that is switched off costs as before."""
    now = clock.now()
    try:
        left = api.find(owner)
    except MaintainerError as error:
        return Found((), ((DROPLET, error.message),))
    orphans = (
        Orphan(
            one.region,
            DROPLET,
            name_of(one),
            one.marks,
            one.created,
            why,
            round(of_droplet(one.usd_hour, one.created, now), 6),
            partial(api.end, one),
        )
        for one in left
        if (why := _judge(one.marks, now, everything=everything))
    )
    return Found(tuple(orphans), ())


def _judge(marks: Marks, now: datetime, *, everything: bool) -> str:
    """Say why a thing is an orphan; empty where it is none."""
    return "all were asked for" if everything else why_orphaned(marks, now)


def _cost(ec2: Ec2, thing: Instance | Remain, now: datetime) -> float | None:
    if isinstance(thing, Instance):
        usd, _ = ec2.cost(thing, now)
        return None if usd is None else round(usd, 6)
    # What else is left is free, but for a volume.
    return round(of_volume(thing.gib, thing.made, now), 6) if thing.gib and thing.made else 0.0


def end(orphans: Iterable[Orphan], recorder: Recorder, add: Callable[[str, float | None], None]) -> ExitCode:
    """End them, and tell of each; one that can not be ended keeps no other from its end. Return the worst outcome.

    `add` keeps a bill under a name that begins with the run's id: whoever launched it did not live to do that.
    """
    codes: list[ExitCode] = []
    for one in orphans:
        try:
            one.end()
        except MaintainerError as error:
            recorder.record("termination.failed", instance=one.id, group=one.marks.group, reason=error.message)
            codes.append(error.exit_code)
            continue
        if one.kind in PAID:
            add(f"{one.marks.run_id}-{one.id.replace(' ', '-')}", one.usd)
        what = {"id": one.id, "kind": one.kind, "region": one.region, "usd": one.usd}
        recorder.record("orphan.ended", **what, group=one.marks.group, run=one.marks.run_id, reason=one.why)
    return first(codes)
