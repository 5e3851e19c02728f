"""The images of EC2 that are ours: by the tag that says what was provisioned into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.shapes import DIGEST, tags_of


@dataclass(frozen=True, slots=True)
class OwnImage:
    """One of them. `made` is EC2's time, in ISO 8601; `used_by` are living instances that were launched from it."""

    id: str
    digest: str
    architecture: str
    made: str
    used_by: tuple[str, ...]


def find(ec2: Ec2, owner: str) -> list[OwnImage]:
    """Return the account's own images that carry a digest, the newest first, with the owner's instances. What `Ec2.call` raises."""
    shown = ec2.pages("DescribeImages", "Images", Owners=["self"], Filters=[{"Name": "tag-key", "Values": [DIGEST]}])
    living = [(one.image, one.id) for one in ec2.find(owner)]
    return sorted((_read(one, living) for one in shown), key=lambda one: (one.made, one.id), reverse=True)


def _read(shown: dict[str, Any], living: list[tuple[str, str]]) -> OwnImage:
    identity = shown["ImageId"]
    users = tuple(instance for image, instance in living if image == identity)
    return OwnImage(identity, tags_of(shown["Tags"])[DIGEST], shown.get("Architecture", ""), shown.get("CreationDate", ""), users)
