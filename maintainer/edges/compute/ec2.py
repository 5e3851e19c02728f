"""EC2: launch one instance at the best of several places, find by tag, look, terminate."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

import boto3
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from maintainer.core.costs import of_instance
from maintainer.core.errors import ConfigurationError, MaintainerError, NoInstanceError, Problem
from maintainer.core.job import Access
from maintainer.core.refusals import Reason, Then, judge
from maintainer.edges.clock import Clock
from maintainer.edges.compute import prices
from maintainer.edges.compute.ec2calls import OnRetry, RefusedError, call, code_of, translate
from maintainer.edges.compute.shapes import (
    DIGEST,
    LIVING,
    OWNER,
    Buying,
    Elastic,
    Instance,
    Marks,
    Pinned,
    Shape,
    instance_of,
    tags_of,
)
from maintainer.edges.s3 import session
from maintainer.edges.tunnel import Endpoint

LOOK_EVERY_S = 1.0
SEEN_WITHIN_S = 60.0
"""EC2 is eventually consistent: a new instance is unknown to other calls for some seconds."""

DECIDED = frozenset({"InstanceMarketOptions", "InstanceRequirements", "InstanceType", "Placement", "SecurityGroupIds", "SecurityGroups"})
"""What a launch template may hold and a run decides anew: beside types, subnets and an interface of our own EC2 would refuse it."""

T = TypeVar("T")


class Ec2:
    """The instances of one account and region. Raises the errors of `ec2calls.translate`."""

    def __init__(self, access: Access, clock: Clock, on_retry: OnRetry) -> None:
        self._session: boto3.Session = session(access)
        try:
            self._client: Any = self._session.client(
                "ec2",
                endpoint_url=access.endpoint or None,
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=30),
            )
        except BotoCoreError as error:
            raise translate("the client", error) from error
        self.region = str(self._client.meta.region_name)
        self._endpoint = access.endpoint
        self._clock = clock
        self._on_retry = on_retry

    def launch(self, shape: Shape, marks: Marks, user_data: bytes, refused: int = 0) -> Instance:
        """Launch one instance, and return it once EC2 knows it everywhere. The same run and group get the same instance again.

        EC2 gives the same answer to the same question: one that was `refused` before is asked anew.

        ConfigurationError for an image that is not the pinned one, NoInstanceError with what every place answered. Whatever is raised, no
        instance of this run and group is left, but where EC2 does not show it yet, or does not let us end it.
        """
        data = self._data(shape, marks, user_data, self._check(shape), self._given(shape))
        try:
            return self._seen(self._launch(shape, marks, data, refused))
        except BaseException:
            with suppress(MaintainerError):  # the first error is the one to tell; what is left now, maintainer sweep finds
                mine = [one.id for one in self.find(marks.owner) if (one.marks.run_id, one.marks.group) == (marks.run_id, marks.group)]
                self.terminate(mine)
            raise

    def _launch(self, shape: Shape, marks: Marks, data: dict[str, Any], refusals: int) -> str:
        """Try the markets in order; return the instance's id."""
        refused: list[str] = []
        about: set[Reason] = set()
        for buying in shape.market:
            asked = f"{marks.owner}/{marks.run_id}/{marks.group}/{buying}" + (f"/{refusals}" if refusals else "")
            token = hashlib.sha256(asked.encode()).hexdigest()[:48]
            try:
                if shape.by_fleet:
                    return self._by_fleet(shape, marks, data, buying, token)
                return self._one_by_one(shape, data, buying, token)
            except RefusedError as error:
                refused.append(f"{buying}: {error.message}")
                about |= error.about
        do = 'name more types or subnets, or market = ["spot", "on-demand"]; the next run tries again'
        if Reason.PRICE in about:
            do = f"raise max_price, or {do}"
        if Reason.QUOTA in about:
            do = f"raise the account's quota (Service Quotas, Amazon EC2, running instances and spot requests), or {do}"
        raise NoInstanceError(f"no instance is to be had: {'; '.join(refused)}", guidance=do, may_pass=True)

    def _by_fleet(self, shape: Shape, marks: Marks, data: dict[str, Any], buying: Buying, token: str) -> str:
        """Let EC2 choose among all places, by an instant fleet from a launch template that lives as long as the call."""
        template = self.call(
            "CreateLaunchTemplate",
            LaunchTemplateName=f"maintainer-{token}",
            ClientToken=token,
            # RunInstances takes bytes and writes base64 itself; a template's data is taken as it is.
            LaunchTemplateData={**data, "UserData": base64.b64encode(data["UserData"]).decode()},
            TagSpecifications=[{"ResourceType": "launch-template", "Tags": marks.tags()}],
        )["LaunchTemplate"]["LaunchTemplateId"]
        places = [{"ImageId": image, "InstanceType": kind, "SubnetId": subnet} for image, kind, subnet in shape.places()]
        most = {"MaxTotalPrice": shape.max_price} if shape.max_price else {}  # of one instance: the same as its own
        options: dict[str, Any] = {"OnDemandOptions": {"AllocationStrategy": "lowest-price", **most}}
        if buying == "spot":
            spot = {"AllocationStrategy": "price-capacity-optimized", "InstanceInterruptionBehavior": "terminate"}
            options = {"SpotOptions": {**spot, **most}}
        try:
            answer = self.call(
                "CreateFleet",
                Type="instant",
                ClientToken=token,
                LaunchTemplateConfigs=[
                    {"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "$Latest"}, "Overrides": places}
                ],
                TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": buying},
                **options,
            )
        finally:
            self.delete_template(template)
        if found := [one for made in answer.get("Instances", ()) for one in made["InstanceIds"]]:
            return str(found[0])
        errors = [(str(one.get("ErrorCode", "")), str(one.get("ErrorMessage", ""))) for one in answer.get("Errors", ())]
        for code, message in errors:
            if judge(code).then is Then.GIVE_UP:  # a mistake, or a right that is missing: no other place would help
                raise translate("CreateFleet", ClientError({"Error": {"Code": code, "Message": message}}, "CreateFleet"))
        about = frozenset(judge(code).reason for code, _ in errors)
        said = sorted({f"{judge(code).reason}: {code} ({message})" for code, message in errors})
        raise RefusedError(", ".join(said) or "the fleet is empty", about)

    def _one_by_one(self, shape: Shape, data: dict[str, Any], buying: Buying, token: str) -> str:
        """Try every place in turn, types in order of preference."""
        most = {"MaxPrice": shape.max_price} if shape.max_price else {}
        spot = {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"SpotInstanceType": "one-time", **most}}}
        (interface,) = data["NetworkInterfaces"]
        refused: list[str] = []
        about: set[Reason] = set()
        for attempt, (image, kind, subnet) in enumerate(shape.places()):
            where = {"ImageId": image, "InstanceType": kind, "NetworkInterfaces": [{**interface, "SubnetId": subnet}]}
            place = {**where, **(spot if buying == "spot" else {})}
            try:
                answer = self.call("RunInstances", **data | place, MinCount=1, MaxCount=1, ClientToken=f"{token}-{attempt}")
                return str(answer["Instances"][0]["InstanceId"])
            except RefusedError as error:
                refused.append(f"{kind} in {subnet}: {error.message}")
                about |= error.about
        raise RefusedError(", ".join(refused), frozenset(about))

    @staticmethod
    def _data(shape: Shape, marks: Marks, user_data: bytes, root_device: str, given: dict[str, Any]) -> dict[str, Any]:
        """Return what a launch template's data and RunInstances have in common: what was given, and over it all that a run decides."""
        # Only an interface of our own description can refuse, or take, a public address whatever the subnet gives by default.
        interface: dict[str, Any] = {"DeviceIndex": 0, "AssociatePublicIpAddress": shape.public, "DeleteOnTermination": True}
        if shape.security_groups:
            interface["Groups"] = list(shape.security_groups)
        disk = {"Encrypted": True, "DeleteOnTermination": True, "VolumeType": "gp3", "VolumeSize": shape.disk_gib}
        tags = {one["ResourceType"]: tags_of(one["Tags"]) for one in given.get("TagSpecifications", ())}
        marked = {kind: tags.get(kind, {}) | tags_of(marks.tags()) for kind in ("instance", "volume", "network-interface")}
        return {
            "BlockDeviceMappings": [{"DeviceName": root_device, "Ebs": disk}],
            **given,
            "ImageId": shape.images[0].image,
            **({"IamInstanceProfile": {"Name": shape.instance_profile}} if shape.instance_profile else {}),
            "UserData": user_data,
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "HttpEndpoint": "enabled"},
            "NetworkInterfaces": [interface],
            "TagSpecifications": [
                {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in pairs.items()]}
                for kind, pairs in marked.items()
            ],
        }

    def _given(self, shape: Shape) -> dict[str, Any]:
        """Return what the group's own launch template says, without what places, markets and the interface decide."""
        if not shape.launch_template:
            return {}
        answer = self.call("DescribeLaunchTemplateVersions", LaunchTemplateId=shape.launch_template, Versions=["$Default"])
        data: dict[str, Any] = answer["LaunchTemplateVersions"][0]["LaunchTemplateData"]
        return {key: value for key, value in data.items() if key not in DECIDED}

    def _seen(self, instance_id: str) -> Instance:
        until = self._clock.monotonic() + SEEN_WITHIN_S
        while self._clock.monotonic() < until:
            instance = self.look(instance_id)
            if instance is not None and instance.address:
                return instance
            self._clock.sleep(LOOK_EVERY_S)
        raise NoInstanceError(f"{instance_id} was launched and can not be seen", guidance="look for it in EC2; maintainer sweep ends it")

    def look(self, instance_id: str) -> Instance | None:
        """Return the instance, or None where EC2 does not know it (an hour after its end, or seconds after its launch)."""
        reply = self.call("DescribeInstances", but=partial(_is, "InvalidInstanceID"), InstanceIds=[instance_id])
        return next((instance_of(found) for reservation in reply.get("Reservations", ()) for found in reservation["Instances"]), None)

    def find(self, owner: str) -> tuple[Instance, ...]:
        """Return the owner's instances that are not terminated yet."""
        filters = [{"Name": f"tag:{OWNER}", "Values": [owner]}, {"Name": "instance-state-name", "Values": list(LIVING)}]

        reservations = self.pages("DescribeInstances", "Reservations", Filters=filters)
        return tuple(instance_of(found) for reservation in reservations for found in reservation["Instances"])

    def delete_template(self, template_id: str) -> None:
        """Delete a launch template; one that is gone already is as wished."""
        gone = partial(_is, "InvalidLaunchTemplate")  # Id, or Name, whatever it was asked by
        self.call("DeleteLaunchTemplate", but=gone, LaunchTemplateId=template_id)

    def terminate(self, instance_ids: Collection[str]) -> None:
        """End the instances; repeating it does no harm, and one that is gone already is as wished."""
        for instance_id in instance_ids:
            self.call("TerminateInstances", but=partial(_is, "InvalidInstanceID.NotFound"), InstanceIds=[instance_id])

    def elastic(self, allocation: str) -> Elastic:
        """Return an elastic IP address by its allocation id; ConfigurationError where there is none."""
        answer = self.call("DescribeAddresses", but=partial(_is, "InvalidAllocationID"), AllocationIds=[allocation])
        if not (found := answer.get("Addresses")):
            do = "allocate one (Terraform's gateway module does), or correct the id"
            told = Problem("[group.NAME.gateway] elastic_ip", f"no {allocation} here", "an address of this account and region", do)
            raise ConfigurationError((told,))
        return Elastic(allocation, found[0]["PublicIp"], found[0].get("InstanceId", ""))

    def move(self, allocation: str, instance_id: str) -> None:
        """Give an elastic IP address to an instance, whoever has it now."""
        self.call("AssociateAddress", AllocationId=allocation, InstanceId=instance_id, AllowReassociation=True)

    def cost(self, instance: Instance, ended: datetime) -> tuple[float | None, str]:
        """Return what an instance cost until its end, in USD; where that is not known, None and why."""
        if instance.lifecycle == prices.SPOT:
            found, why = prices.known(lambda: prices.spot(self.pages, instance, ended))
        else:
            found, why = prices.known(lambda: prices.on_demand(self._session, self._endpoint, self.region, instance.instance_type))
        return of_instance(found, instance.launched, ended), why

    def tunnels(self, endpoint_id: str) -> Endpoint:
        """Return an EC2 Instance Connect Endpoint; ConfigurationError where there is none, or it is not ready."""
        key, here = "instance_connect_endpoint", "one of this account and region"

        gone = partial(_is, "InvalidInstanceConnectEndpointId")
        answer = self.call("DescribeInstanceConnectEndpoints", but=gone, InstanceConnectEndpointIds=[endpoint_id])
        if not (found := answer.get("InstanceConnectEndpoints")):
            raise _wrong(key, f"no {endpoint_id} here", here, "make one (Terraform's module network does), or correct the id")
        if (state := found[0]["State"]) != "create-complete":
            raise _wrong(key, f"{endpoint_id} is {state}", "one that is complete", found[0].get("StateMessage") or "wait until it is")
        secure = not str(self._client.meta.endpoint_url).startswith("http:")
        return Endpoint(endpoint_id, found[0]["DnsName"], self.region, self._session.get_credentials, secure)

    def console(self, instance_id: str) -> str:
        """Return what the instance wrote to its console (Nitro: the latest 64 KB), or nothing."""

        def ask() -> str:
            try:
                encoded = self._client.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
            except ClientError as error:
                # Latest is for Nitro alone; others have the output of the boot.
                if code_of(error) not in {"UnsupportedOperation", "InvalidParameterCombination"}:
                    raise
                encoded = self._client.get_console_output(InstanceId=instance_id).get("Output", "")
            return str(encoded)

        return self._ask("GetConsoleOutput", ask)

    def _check(self, shape: Shape) -> str:
        """Return the images' root device; ConfigurationError where one is not there, not available, or not the one that was pinned."""
        first, *others = [(one.image, self._check_image(one)) for one in shape.images]
        for image, device in others:
            if device != first[1]:  # a launch has one list of disks, whatever the place
                do = "build both by maintainer image build"
                raise _wrong("also.image", f"{image}'s root device is {device}", f"{first[1]}, as of {first[0]}", do)
        return first[1]

    def _check_image(self, pinned: Pinned) -> str:
        """Return the root device of one of them."""
        found = self.call("DescribeImages", but=partial(_is, "InvalidAMIID"), ImageIds=[pinned.image]).get("Images")
        build = "name an image of this account and region: maintainer image build, or maintainer image list"
        if not found:
            raise _wrong("image", f"no image {pinned.image} here", "an image of this account and region", build)
        if (state := found[0].get("State", "available")) != "available":
            raise _wrong("image", f"{pinned.image} is {state}", "an available image", "wait until it is, or name another")
        carried = tags_of(found[0].get("Tags", [])).get(DIGEST, "no digest")
        if pinned.digest and carried != pinned.digest:
            do = "find out who changed which; then pin the digest of the image that you trust"
            raise _wrong("image_digest", f"{pinned.image} carries {carried}", f"what is pinned: {pinned.digest}", do)
        return str(found[0].get("RootDeviceName", "/dev/xvda"))

    def call(self, name: str, *, but: Callable[[ClientError], bool] = lambda _: False, **parameters: Any) -> dict[str, Any]:
        """Call EC2 by its own words; `but` names errors that are no failure, and give an empty answer. Errors: `ec2calls.translate`."""

        def ask() -> dict[str, Any]:
            try:
                return dict(getattr(self._client, xform_name(name))(**parameters))
            except ClientError as error:
                if but(error):
                    return {}
                raise

        return self._ask(name, ask)

    def pages(self, name: str, shown: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return all that a Describe call shows, page by page where it has pages."""
        if not self._client.can_paginate(xform_name(name)):
            return list(self.call(name, **parameters)[shown])

        def ask() -> list[dict[str, Any]]:
            return [one for page in self._client.get_paginator(xform_name(name)).paginate(**parameters) for one in page[shown]]

        return self._ask(name, ask)

    def _ask(self, name: str, ask: Callable[[], T]) -> T:
        return call(name, ask, clock=self._clock, on_retry=self._on_retry)


def _is(code: str, error: ClientError) -> bool:
    return code_of(error).startswith(code)


def _wrong(key: str, found: str, expected: str, do: str) -> ConfigurationError:
    return ConfigurationError((Problem(f"[group.NAME.instance] {key}", found, expected, do),))
