"""The account's images: which are pinned, which still run, and which may go."""

from __future__ import annotations

import json
from typing import Any

from maintainer.edges.compute.shapes import DIGEST
from tests.support.instances import Fleet


def listed(park: Fleet) -> dict[str, dict[str, Any]]:
    code, output, errors = park.call("image", "list", "--ec2", "--json")
    assert code == 0, errors
    return {one["id"]: one for one in json.loads(output)}


def test_an_image_is_old_when_nobody_pins_it_nothing_runs_from_it_and_a_newer_one_is_pinned(park: Fleet) -> None:
    ec2, before, digest = park.plant.client("ec2"), park.plant.image_id, "d" * 64
    made = ec2.register_image(Name=f"new {park.prefix}", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    try:
        assert made not in listed(park)  # without a digest it is nothing of ours
        ec2.create_tags(Resources=[made], Tags=[{"Key": DIGEST, "Value": digest}])
        told = listed(park)
        assert (told[before]["pinned_by"], told[before]["old"]) == (["sandbox"], False)
        assert (told[made]["digest"], told[made]["pinned_by"], told[made]["old"]) == (digest, [], False)
        assert list(told).index(made) < list(told).index(before)
        park.configure(f'image = "{before}"', f'image = "{made}"')
        tags = [{"Key": "maintainer:owner", "Value": park.owner}]
        data = {"ImageId": before, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "SubnetId": park.plant.subnets[0]}
        running = ec2.run_instances(**data, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])["Instances"][0]["InstanceId"]
        _, output, _ = park.call("image", "list", "--ec2")
        assert f"not pinned, and {running} still runs from it" in output
        assert "→" not in output
        ec2.terminate_instances(InstanceIds=[running])
        park.nothing_is_left()
        _, output, _ = park.call("image", "list", "--ec2")
        assert f"{made}  " in output.splitlines()[0]
        assert "pinned by sandbox" in output.splitlines()[0]
        assert f"    → aws ec2 deregister-image --delete-associated-snapshots --image-id {before}" in output.splitlines()
    finally:
        ec2.deregister_image(ImageId=made)
