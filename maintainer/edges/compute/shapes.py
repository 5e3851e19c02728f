"""What is launched, how it is marked, and what EC2 says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any, Literal

Buying = Literal["spot", "on-demand"]

ENDED = frozenset({"shutting-down", "terminated"})
"""States from which no instance comes back (EC2 user guide, "Instance lifecycle")."""
GATEWAY = "/gateway"
"""What follows the group in a gateway's mark: no group's name has a slash."""
LIVING = ("pending", "running", "stopping", "stopped")
OWNER, RUN, GROUP, DEADLINE, CONTROLLER, DIGEST = (
    f"maintainer:{name}" for name in ("owner", "run", "group", "deadline", "controller", "digest")
)


@dataclass(frozen=True, slots=True)
class Pinned:
    """An image, the digest that it must carry, and the types that it runs on, in order of preference: those of one architecture.

    The digest is empty where an image is to be made of it.
    """

    image: str
    digest: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What is launched, and where it may be: every image's every type in every subnet. `market`: both in this order where there are two.

    `launch_template`: the id of one that says what is not said here, such as a disk's key, and tags; its disks are taken before `disk_gib`.
    """

    images: tuple[Pinned, ...]
    instance_profile: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    market: tuple[Buying, ...]
    by_fleet: bool
    disk_gib: int
    launch_template: str = ""
    max_price: str = ""
    """The most that an hour of it may cost, in USD; empty: EC2's own limit, which for spot is the on-demand price."""
    public: bool = False
    """Whether it has a public address from the start: what serves hosts outside the network needs one to reach AWS, too."""

    @property
    def digests(self) -> str:
        """Return what the machine's own image must know: one of these words."""
        return " ".join(dict.fromkeys(one.digest for one in self.images))

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Yield every image, type and subnet, in order of preference."""
        for one in self.images:
            for kind, subnet in product(one.types, self.subnets):
                yield one.image, kind, subnet


@dataclass(frozen=True, slots=True)
class Marks:
    """The tags of an instance. `deadline` (RFC 3339, UTC): then it has powered itself off. `controller`: the process that launched it."""

    owner: str
    run_id: str
    group: str
    deadline: str
    controller: str

    def is_of(self, group: str, run_id: str) -> bool:
        """Tell whether it was launched for a group's part of this run, whatever the attempt."""
        return self.group == group and (self.run_id == run_id or self.run_id.startswith(f"{run_id}-"))

    def tags(self) -> list[dict[str, str]]:
        """Return them as EC2 takes them."""
        pairs = {
            "Name": f"maintainer {self.group}",
            OWNER: self.owner,
            RUN: self.run_id,
            GROUP: self.group,
            DEADLINE: self.deadline,
            CONTROLLER: self.controller,
        }
        return [{"Key": key, "Value": value} for key, value in pairs.items()]


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as EC2 describes it; what its tags do not tell is empty. `address` is the private one; it may have no `public` one."""

    id: str
    state: str
    address: str
    instance_type: str
    zone: str
    lifecycle: str
    launched: datetime
    marks: Marks
    public: str = ""
    image: str = ""

    @property
    def is_ended(self) -> bool:
        """Tell whether it runs no more, and never will."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Elastic:
    """An elastic IP address, and the instance that has it now; empty where none has."""

    allocation: str
    address: str
    instance: str


def instance_of(found: dict[str, Any]) -> Instance:
    """Read an instance as DescribeInstances gives it."""
    tags = tags_of(found.get("Tags", []))
    return Instance(
        id=found["InstanceId"],
        state=found["State"]["Name"],
        address=found.get("PrivateIpAddress", ""),
        instance_type=found.get("InstanceType", ""),
        zone=found.get("Placement", {}).get("AvailabilityZone", ""),
        lifecycle=found.get("InstanceLifecycle", "on-demand"),
        launched=found["LaunchTime"],
        marks=marks_of(tags),
        public=found.get("PublicIpAddress", ""),
        image=found.get("ImageId", ""),
    )


def marks_of(tags: dict[str, str]) -> Marks:
    """Read our own tags."""
    return Marks(*(tags.get(key, "") for key in (OWNER, RUN, GROUP, DEADLINE, CONTROLLER)))


def tags_of(pairs: Iterable[dict[str, str]]) -> dict[str, str]:
    """Read tags as EC2 gives them."""
    return {pair["Key"]: pair["Value"] for pair in pairs}
