"""The images of EC2 that are ours: by the tag that says what was provisioned into them; and the making of one, from an instance."""

from __future__ import annotations

from typing import Any

from maintainer.core.errors import ConfigurationError, NoInstanceError, Problem
from maintainer.core.images import OwnImage, machine_of
from maintainer.edges.clock import Clock
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.shapes import DIGEST, tags_of

LOOK_EVERY_S = 1.0
STOPPED_WITHIN_S = 300.0
AVAILABLE_WITHIN_S = 3600.0
"""What a first snapshot of a volume may take: EC2 promises nothing."""


def find(ec2: Ec2, owner: str) -> list[OwnImage]:
    """Return the account's own images that carry a digest, the newest first, with the owner's instances. What `Ec2.call` raises."""
    shown = ec2.pages("DescribeImages", "Images", Owners=["self"], Filters=[{"Name": "tag-key", "Values": [DIGEST]}])
    living = [(one.image, one.id) for one in ec2.find(owner)]
    return sorted((_read(one, living) for one in shown), key=lambda one: (one.made, one.id), reverse=True)


def _read(shown: dict[str, Any], living: list[tuple[str, str]]) -> OwnImage:
    identity = shown["ImageId"]
    users = tuple(instance for image, instance in living if image == identity)
    return OwnImage(identity, tags_of(shown["Tags"])[DIGEST], shown.get("Architecture", ""), shown.get("CreationDate", ""), users)


def architecture(ec2: Ec2, image: str) -> str:
    """Return an image's architecture, as the kernel names it. ConfigurationError where there is no such image."""
    shown = ec2.call("DescribeImages", but=lambda error: "InvalidAMIID" in str(error), ImageIds=[image]).get("Images")
    if not shown:
        do = "name one of Debian's own for Debian 13: its account is 136693071363"
        raise ConfigurationError((Problem("[builder] image", f"no image {image} here", "an image of this region", do),))
    return machine_of(str(shown[0].get("Architecture")))


def make(ec2: Ec2, instance: str, digest: str, named: str, clock: Clock) -> str:
    """Stop an instance, make an image of it that carries the digest, and return its id once it is available. NoInstanceError, as EC2 says.

    An image that fails is removed again.
    """
    ec2.call("StopInstances", InstanceIds=[instance])
    until = clock.monotonic() + STOPPED_WITHIN_S
    while (state := _state(ec2, instance)) != "stopped":
        if state in {"", "terminated"} or clock.monotonic() > until:
            raise NoInstanceError(f"{instance} did not stop: {state or 'it is gone'}", guidance="look at its console; build again")
        clock.sleep(LOOK_EVERY_S)
    tags = [{"Key": DIGEST, "Value": digest}, {"Key": "Name", "Value": named}]
    marked = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
    made = str(ec2.call("CreateImage", InstanceId=instance, Name=named, TagSpecifications=marked)["ImageId"])
    until = clock.monotonic() + AVAILABLE_WITHIN_S
    while True:
        shown: dict[str, Any] = next(iter(ec2.call("DescribeImages", ImageIds=[made])["Images"]), {})
        if (state := shown.get("State", "pending")) == "available":
            return made
        if state != "pending" or clock.monotonic() > until:
            ec2.call("DeregisterImage", ImageId=made)
            why = shown.get("StateReason", {}).get("Message", state)
            raise NoInstanceError(f"the image {made} did not come to be: {why}", guidance="build again")
        clock.sleep(LOOK_EVERY_S)


def _state(ec2: Ec2, instance: str) -> str:
    found = ec2.look(instance)
    return found.state if found else ""
