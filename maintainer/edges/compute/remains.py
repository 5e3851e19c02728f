"""What launches may leave behind in EC2 beside instances: found by the owner's tag, and deleted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from maintainer.edges.compute.ec2calls import code_of
from maintainer.edges.compute.shapes import OWNER, Marks, marks_of, tags_of

if TYPE_CHECKING:
    from maintainer.edges.compute.ec2 import Ec2


@dataclass(frozen=True, slots=True)
class Remain:
    """One of them. `made`: since when it is there, where EC2 says so; `gib`: a volume's size."""

    kind: str
    id: str
    marks: Marks
    made: datetime | None = None
    gib: int = 0
    group: str = ""
    """A security group's rule: the group that it belongs to."""
    outgoing: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """How EC2 shows and deletes one kind of thing. Only what nothing uses is shown: what an instance has ends with it."""

    name: str
    describe: str
    shown: str
    key: str
    delete: Callable[[Remain], tuple[str, dict[str, Any]]]
    filters: tuple[dict[str, Any], ...] = ()
    tags: str = "Tags"


def _revoke(one: Remain) -> tuple[str, dict[str, Any]]:
    call = "RevokeSecurityGroupEgress" if one.outgoing else "RevokeSecurityGroupIngress"
    return call, {"GroupId": one.group, "SecurityGroupRuleIds": [one.id]}


_UNUSED = ({"Name": "status", "Values": ["available"]},)
KINDS = (
    Kind(
        "launch-template",
        "DescribeLaunchTemplates",
        "LaunchTemplates",
        "LaunchTemplateId",
        lambda one: ("DeleteLaunchTemplate", {"LaunchTemplateId": one.id}),
    ),
    Kind("volume", "DescribeVolumes", "Volumes", "VolumeId", lambda one: ("DeleteVolume", {"VolumeId": one.id}), _UNUSED),
    Kind(
        "network-interface",
        "DescribeNetworkInterfaces",
        "NetworkInterfaces",
        "NetworkInterfaceId",
        lambda one: ("DeleteNetworkInterface", {"NetworkInterfaceId": one.id}),
        _UNUSED,
        "TagSet",
    ),
    Kind("key-pair", "DescribeKeyPairs", "KeyPairs", "KeyPairId", lambda one: ("DeleteKeyPair", {"KeyPairId": one.id})),
    Kind("security-group-rule", "DescribeSecurityGroupRules", "SecurityGroupRules", "SecurityGroupRuleId", _revoke),
)


def find(ec2: Ec2, owner: str, kind: Kind) -> tuple[Remain, ...]:
    """Return the owner's things of a kind that nothing uses. Raises the errors of `ec2calls.translate`."""
    filters = [{"Name": f"tag:{OWNER}", "Values": [owner]}, *kind.filters]
    return tuple(
        Remain(
            kind.name,
            one[kind.key],
            marks_of(tags_of(one.get(kind.tags, []))),
            one.get("CreateTime"),
            one.get("Size", 0),
            one.get("GroupId", ""),
            outgoing=one.get("IsEgress", False),
        )
        for one in ec2.pages(kind.describe, kind.shown, Filters=filters)
    )


def delete(ec2: Ec2, one: Remain) -> None:
    """Delete it; one that is gone already is as wished."""
    name, parameters = next(kind.delete(one) for kind in KINDS if kind.name == one.kind)

    def is_gone(error: ClientError) -> bool:
        return code_of(error).startswith("Invalid") and code_of(error).endswith(("NotFound", "NotFoundException"))

    ec2.call(name, but=is_gone, **parameters)
