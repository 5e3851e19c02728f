"""EC2: launch, find by tag, look, terminate."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import ClientError

from maintainer.core.errors import NoInstanceError, Problem
from maintainer.edges.clock import Clock
from maintainer.edges.ec2calls import OnRetry, call, code_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, InstanceTypeDef, RunInstancesRequestTypeDef, TagTypeDef

Buying = Literal["spot", "on-demand"]

ENDED = frozenset({"shutting-down", "terminated"})
"""States from which no instance comes back (EC2 user guide, "Instance lifecycle")."""
LIVING = ("pending", "running", "stopping", "stopped", "shutting-down")
DIGEST_TAG = "maintainer:digest"
LOOK_EVERY_S = 1.0
SEEN_WITHIN_S = 60.0
"""EC2 is eventually consistent: a new instance is unknown to other calls for some seconds."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One way to get an instance."""

    instance_type: str
    subnet: str
    market: Buying


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What is launched, but for the place. `deadline` is RFC 3339 UTC; `controller` is "host/pid/start time"."""

    owner: str
    run_id: str
    group: str
    deadline: str
    controller: str
    image: str
    security_groups: tuple[str, ...]
    instance_profile: str
    user_data: bytes


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance as EC2 describes it; what its tags do not tell is empty. `address` is the private one."""

    id: str
    state: str
    address: str
    instance_type: str
    launched: datetime
    run_id: str
    group: str
    deadline: str
    controller: str

    @property
    def is_ended(self) -> bool:
        """Tell whether it runs no more, and never will."""
        return self.state in ENDED


def placements(market: str, instance_types: Iterable[str], subnets: Iterable[str]) -> tuple[Placement, ...]:
    """Return the places to try, in order: all spot ones before any on-demand one; types in order of preference, each in every subnet."""
    buys: tuple[Buying, ...] = tuple(buying for buying in ("spot", "on-demand") if buying in market.split("-then-"))
    return tuple(Placement(kind, subnet, buying) for buying, kind, subnet in product(buys, tuple(instance_types), tuple(subnets)))


def client_token(request: LaunchRequest, attempt: int) -> str:
    """Return what makes RunInstances the same request again: 64 characters, EC2's most."""
    return hashlib.sha256(f"{request.run_id}/{request.group}/{attempt}".encode()).hexdigest()


class Compute:
    """The instances of one account and region."""

    def __init__(self, client: EC2Client, clock: Clock, on_retry: OnRetry) -> None:
        self._client = client
        self._clock = clock
        self._on_retry = on_retry

    def launch(self, request: LaunchRequest, placement: Placement, attempt: int) -> Instance:
        """Run one instance and return it once EC2 knows it everywhere.

        `attempt` numbers the placements of a run: a repeat with the same number is the same request. RefusedError where there is no room.
        """
        arguments = _arguments(request, placement, attempt)
        reply = call("RunInstances", lambda: self._client.run_instances(**arguments), clock=self._clock, on_retry=self._on_retry)
        instance_id = reply["Instances"][0]["InstanceId"]
        until = self._clock.monotonic() + SEEN_WITHIN_S
        while self._clock.monotonic() < until:
            instance = self.look(instance_id)
            if instance is not None and instance.address:
                return instance
            self._clock.sleep(LOOK_EVERY_S)
        raise NoInstanceError(f"{instance_id} was launched and can not be seen", guidance="look for it in EC2; the next run tries again")

    def look(self, instance_id: str) -> Instance | None:
        """Return the instance, or None where EC2 does not know it (an hour after its end, or seconds after its launch)."""

        def ask() -> Instance | None:
            try:
                reply = self._client.describe_instances(InstanceIds=[instance_id])
            except ClientError as error:
                if code_of(error) in {"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed"}:
                    return None
                raise
            return next((_instance(found) for reservation in reply["Reservations"] for found in reservation["Instances"]), None)

        return call("DescribeInstances", ask, clock=self._clock, on_retry=self._on_retry)

    def find(self, owner: str, run_id: str | None = None) -> tuple[Instance, ...]:
        """Return the owner's instances, of one run or of all, that are not terminated yet."""
        filters: list[FilterTypeDef] = [
            {"Name": "tag:maintainer:owner", "Values": [owner]},
            {"Name": "instance-state-name", "Values": list(LIVING)},
        ]
        if run_id is not None:
            filters.append({"Name": "tag:maintainer:run", "Values": [run_id]})

        def ask() -> tuple[Instance, ...]:
            pages = self._client.get_paginator("describe_instances").paginate(Filters=filters)
            return tuple(_instance(found) for page in pages for reservation in page["Reservations"] for found in reservation["Instances"])

        return call("DescribeInstances", ask, clock=self._clock, on_retry=self._on_retry)

    def terminate(self, instance_ids: Collection[str]) -> None:
        """End the instances; repeating it does no harm, and one that is gone already is as wished."""
        for instance_id in instance_ids:
            call("TerminateInstances", partial(self._end, instance_id), clock=self._clock, on_retry=self._on_retry)

    def _end(self, instance_id: str) -> None:
        try:
            self._client.terminate_instances(InstanceIds=[instance_id])
        except ClientError as error:
            if code_of(error) != "InvalidInstanceID.NotFound":
                raise

    def wait_until_ended(self, instance_id: str, timeout_s: float, states: Collection[str] = ENDED) -> bool:
        """Wait until the instance is seen in one of the states, or not at all; False when the time was not enough."""
        until = self._clock.monotonic() + timeout_s
        while True:
            instance = self.look(instance_id)
            if instance is None or instance.state in states:
                return True
            if self._clock.monotonic() >= until:
                return False
            self._clock.sleep(LOOK_EVERY_S)

    def console_output(self, instance_id: str) -> str:
        """Return what the instance wrote to its console (Nitro: the latest 64 KB), or nothing."""

        def ask() -> str:
            try:
                encoded = self._client.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
            except ClientError as error:
                # Latest is for Nitro alone; others have the output of the boot.
                if code_of(error) not in {"UnsupportedOperation", "InvalidParameterCombination"}:
                    raise
                encoded = self._client.get_console_output(InstanceId=instance_id).get("Output", "")
            return base64.b64decode(encoded, validate=False).decode(errors="replace") if encoded else ""

        return call("GetConsoleOutput", ask, clock=self._clock, on_retry=self._on_retry)

    def image_problem(self, image: str, digest: str | None) -> Problem | None:
        """Say what is wrong with an image: it must be there, be available and, where a digest is pinned, carry it."""

        def ask() -> tuple[str, dict[str, str]] | None:
            try:
                found = self._client.describe_images(ImageIds=[image])["Images"]
            except ClientError as error:
                if code_of(error).startswith("InvalidAMIID"):
                    return None
                raise
            return (found[0].get("State", "available"), _tags(found[0].get("Tags", []))) if found else None

        found = call("DescribeImages", ask, clock=self._clock, on_retry=self._on_retry)
        build = "build it with `maintainer image build`, or name one of `maintainer image list`"
        if found is None:
            return Problem("instance.image", f"no image {image} here", "an image of this account and region", build)
        state, tags = found
        if state != "available":
            return Problem("instance.image", f"{image} is {state}", "an available image", "wait until it is, or name another")
        if digest is not None and tags.get(DIGEST_TAG) != digest:
            carried = tags.get(DIGEST_TAG, "no digest")
            do = "the image is not the one that was pinned: find out who changed which; then pin the digest of the image that you trust"
            return Problem("instance.image_digest", f"{image} carries {carried}", digest, do)
        return None

    def missing_subnets(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return those of the subnets that do not exist here."""
        wanted = tuple(ids)

        def ask() -> frozenset[str]:
            reply = self._client.describe_subnets(Filters=[{"Name": "subnet-id", "Values": list(wanted)}])
            return frozenset(found["SubnetId"] for found in reply["Subnets"])

        known = call("DescribeSubnets", ask, clock=self._clock, on_retry=self._on_retry)
        return tuple(one for one in wanted if one not in known)

    def missing_security_groups(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return those of the security groups that do not exist here."""
        wanted = tuple(ids)

        def ask() -> frozenset[str]:
            reply = self._client.describe_security_groups(Filters=[{"Name": "group-id", "Values": list(wanted)}])
            return frozenset(found["GroupId"] for found in reply["SecurityGroups"])

        known = call("DescribeSecurityGroups", ask, clock=self._clock, on_retry=self._on_retry) if wanted else frozenset()
        return tuple(one for one in wanted if one not in known)


def _arguments(request: LaunchRequest, placement: Placement, attempt: int) -> RunInstancesRequestTypeDef:
    tags: list[TagTypeDef] = [
        {"Key": "Name", "Value": f"maintainer {request.owner} {request.group}"},
        {"Key": "maintainer:owner", "Value": request.owner},
        {"Key": "maintainer:run", "Value": request.run_id},
        {"Key": "maintainer:group", "Value": request.group},
        {"Key": "maintainer:deadline", "Value": request.deadline},
        {"Key": "maintainer:controller", "Value": request.controller},
    ]
    arguments: RunInstancesRequestTypeDef = {
        "ImageId": request.image,
        "InstanceType": placement.instance_type,  # type: ignore[typeddict-item]  # the stubs list the types of one day
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": client_token(request, attempt),
        "UserData": request.user_data,  # type: ignore[typeddict-item]  # botocore takes bytes too, and writes base64 of either
        "IamInstanceProfile": {"Name": request.instance_profile},
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
        # Only an interface of our own description can refuse the public address that a subnet may give by default.
        "NetworkInterfaces": [
            {
                "DeviceIndex": 0,
                "SubnetId": placement.subnet,
                "AssociatePublicIpAddress": False,
                "DeleteOnTermination": True,
                **({"Groups": list(request.security_groups)} if request.security_groups else {}),
            }
        ],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}, {"ResourceType": "volume", "Tags": tags}],
    }
    if placement.market == "spot":
        arguments["InstanceMarketOptions"] = {
            "MarketType": "spot",
            "SpotOptions": {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"},
        }
    return arguments


def _instance(found: InstanceTypeDef) -> Instance:
    tags = _tags(found.get("Tags", []))
    return Instance(
        id=found["InstanceId"],
        state=found["State"]["Name"],
        address=found.get("PrivateIpAddress", ""),
        instance_type=found.get("InstanceType", ""),
        launched=found["LaunchTime"],
        run_id=tags.get("maintainer:run", ""),
        group=tags.get("maintainer:group", ""),
        deadline=tags.get("maintainer:deadline", ""),
        controller=tags.get("maintainer:controller", ""),
    )


def _tags(pairs: Iterable[TagTypeDef]) -> dict[str, str]:
    return {pair["Key"]: pair["Value"] for pair in pairs if "Key" in pair and "Value" in pair}
