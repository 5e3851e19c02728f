"""What is left behind in EC2 beside instances, in every region that the configuration names: found by its tags, and ended."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from tests.controller.test_wrong_input import refused
from tests.support.instances import Fleet

PAST = "2020-01-01T00:00:00Z"
REGIONS = ("us-east-1", "eu-west-1")


@pytest.fixture
def park(park: Fleet) -> Fleet:
    park.repository()
    park.configure("[ec2]\nendpoint", '[ec2]\nswept_regions = ["eu-west-1"]\nendpoint')
    return park


class Litter:
    """One thing of each kind that an owner left in a region."""

    def __init__(self, park: Fleet, region: str, owner: str, deadline: str = PAST) -> None:
        self._ec2: Any = boto3.client("ec2", region, endpoint_url=park.plant.ec2_endpoint, aws_access_key_id="x", aws_secret_access_key="x")
        tags = {"maintainer:owner": owner, "maintainer:deadline": deadline, "maintainer:run": "r", "maintainer:group": "sandbox"}
        self._tags = [{"Key": key, "Value": value} for key, value in tags.items()]
        name = f"{owner[-20:]}-{region}-{deadline}"
        network = self._ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = self._ec2.create_subnet(VpcId=network, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = self._ec2.create_security_group(VpcId=network, GroupName=name, Description="x")["GroupId"]
        permission: Any = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
        made = self._ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission], **self._marked("security-group-rule"))
        self.ids = {
            self._ec2.create_volume(AvailabilityZone=f"{region}a", Size=16, **self._marked("volume"))["VolumeId"],
            self._ec2.create_network_interface(SubnetId=subnet, **self._marked("network-interface"))["NetworkInterface"][
                "NetworkInterfaceId"
            ],
            self._ec2.create_key_pair(KeyName=name, **self._marked("key-pair"))["KeyPairId"],
            made["SecurityGroupRules"][0]["SecurityGroupRuleId"],
            self._ec2.create_launch_template(
                LaunchTemplateName=name.replace(":", "-"), LaunchTemplateData={}, **self._marked("launch-template")
            )["LaunchTemplate"]["LaunchTemplateId"],
        }

    def _marked(self, kind: str) -> dict[str, Any]:
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": self._tags}]}

    def left(self) -> set[str]:
        """Return which of them EC2 still has."""
        shown = {
            *(one["VolumeId"] for one in self._ec2.describe_volumes()["Volumes"]),
            *(one["NetworkInterfaceId"] for one in self._ec2.describe_network_interfaces()["NetworkInterfaces"]),
            *(one["KeyPairId"] for one in self._ec2.describe_key_pairs()["KeyPairs"]),
            *(one["SecurityGroupRuleId"] for one in self._ec2.describe_security_group_rules()["SecurityGroupRules"]),
            *(one["LaunchTemplateId"] for one in self._ec2.describe_launch_templates()["LaunchTemplates"]),
        }
        return self.ids & shown


def test_everything_of_ours_is_found_and_ended_in_every_region_and_nothing_of_others(park: Fleet) -> None:
    ours = [Litter(park, region, park.owner) for region in REGIONS]
    spared = [Litter(park, "us-east-1", "someone"), Litter(park, "us-east-1", park.owner, "2099-01-01T00:00:00Z")]
    wanted = {one for litter in ours for one in litter.ids}
    code, output, errors = park.call("sweep", "--dry-run", "--json")
    assert (code, errors) == (0, "")
    assert {one["id"] for one in json.loads(output)} == wanted
    assert {(one["kind"], one["region"]) for one in json.loads(output)} == {
        (kind, region)
        for kind in ("volume", "network-interface", "key-pair", "security-group-rule", "launch-template")
        for region in REGIONS
    }
    assert all((one["usd"] > 0) == (one["kind"] == "volume") for one in json.loads(output) if one["usd"])
    assert all(litter.left() == litter.ids for litter in ours)
    code, output, errors = park.call("sweep")
    assert (code, errors) == (0, "")
    assert all(one in output for one in wanted)
    assert [litter.left() for litter in ours] == [set(), set()]
    assert all(litter.left() == litter.ids for litter in spared)
    assert park.call("sweep")[1] == "nothing was left behind\n"
    park.call("sweep", "--all")
    assert [bool(litter.left()) for litter in spared] == [True, False]


def test_a_kind_that_we_may_not_look_for_is_told_and_the_others_are_ended(park: Fleet) -> None:
    left = Litter(park, "us-east-1", park.owner)
    with refused(park, "DescribeVolumes"):
        code, _, errors = park.call("sweep")
    assert code == 0
    assert "could not be looked for" in errors
    assert "volume" in errors
    assert [one[:4] for one in left.left()] == ["vol-"]
    with refused(park, "DeleteVolume"):
        code, output, _ = park.call("sweep")
    assert code == 2
    assert "DeleteVolume: UnauthorizedOperation" in output
    park.call("sweep")
    assert not left.left()
