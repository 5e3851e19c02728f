"""Orphans: instances and launch templates of ours that no living controller follows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maintainer.core.moments import from_text
from maintainer.edges.clock import Clock
from maintainer.edges.compute.controllers import is_dead
from maintainer.edges.compute.shapes import GATEWAY, Instance, Marks, Template
from maintainer.edges.log import Recorder

if TYPE_CHECKING:
    from maintainer.edges.compute.ec2 import Ec2


@dataclass(frozen=True, slots=True)
class Orphan:
    """One of them. `why` says how we know."""

    id: str
    marks: Marks
    why: str


def find(ec2: Ec2, owner: str, clock: Clock, *, everything: bool = False) -> list[Orphan]:
    """Return the owner's orphans: past their deadline, or launched by a process that is known to be dead. `everything` doubts nothing.

    Gateways are none: each ends when the next has taken over.
    """

    def judge(marks: Marks) -> str:
        if everything:
            return "all were asked for"
        if marks.deadline and from_text(marks.deadline) < clock.now():
            return f"its deadline was {marks.deadline}"
        return "the controller that launched it is dead" if is_dead(marks.controller) else ""

    found: Iterable[Instance | Template] = (*ec2.find(owner), *ec2.templates(owner))
    return [Orphan(one.id, one.marks, why) for one in found if not one.marks.group.endswith(GATEWAY) and (why := judge(one.marks))]


def end(ec2: Ec2, orphans: Iterable[Orphan], recorder: Recorder) -> None:
    """End them, and tell of each."""
    for one in orphans:
        if one.id.startswith("lt-"):
            ec2.delete_template(one.id)
        else:
            ec2.terminate([one.id])
        recorder.record("orphan.ended", id=one.id, group=one.marks.group, run=one.marks.run_id, reason=one.why)
