"""The account's images: which are pinned, which still run, and which may go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maintainer.edges.compute.shapes import DIGEST
from tests.support.instances import Fleet

NEW = "d" * 64


def listed(park: Fleet) -> dict[str, dict[str, Any]]:
    code, output, errors = park.call("image", "list", "--ec2", "--json")
    assert code == 0, errors
    return {one["id"]: one for one in json.loads(output)}


def shown(park: Fleet, *images: str) -> list[str]:
    """Return what is printed of these images: other tests have made others in the same account."""
    code, output, errors = park.call("image", "list", "--ec2")
    assert code == 0, errors
    return [line for line in output.splitlines() if any(image in line for image in images)]


@contextmanager
def registered(park: Fleet) -> Iterator[str]:
    ec2 = park.plant.client("ec2")
    made = ec2.register_image(Name=f"new {park.prefix}", Architecture="x86_64", RootDeviceName="/dev/xvda")["ImageId"]
    try:
        yield made
    finally:
        ec2.deregister_image(ImageId=made)


@contextmanager
def running(park: Fleet, image: str) -> Iterator[str]:
    """Have an instance of the configuration's that was launched from an image."""
    ec2, tags = park.plant.client("ec2"), [{"Key": "maintainer:owner", "Value": park.owner}]
    wanted = {"ImageId": image, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1, "SubnetId": park.plant.subnets[0]}
    made = ec2.run_instances(**wanted, TagSpecifications=[{"ResourceType": "instance", "Tags": tags}])["Instances"][0]["InstanceId"]
    try:
        yield made
    finally:
        ec2.terminate_instances(InstanceIds=[made])
        park.nothing_is_left()


def test_an_image_is_old_when_nobody_pins_it_nothing_runs_from_it_and_a_newer_one_is_pinned(park: Fleet) -> None:
    before = park.plant.image_id
    with registered(park) as made:
        assert made not in listed(park)  # without a digest it is nothing of ours
        park.plant.client("ec2").create_tags(Resources=[made], Tags=[{"Key": DIGEST, "Value": NEW}])
        told = listed(park)
        assert (told[before]["pinned_by"], told[before]["old"]) == (["sandbox"], False)
        assert (told[made]["digest"], told[made]["pinned_by"], told[made]["old"]) == (NEW, [], False)
        assert list(told).index(made) < list(told).index(before)
        park.configure(f'image = "{before}"', f'image = "{made}"')
        with running(park, before) as instance:
            pinned, used = shown(park, made, before)
            assert pinned.endswith("pinned by sandbox")
            assert used.endswith(f"not pinned, and {instance} still runs from it")
        _, old, do = shown(park, made, before)
        assert old.endswith("not pinned by this configuration")
        assert do == f"    → aws ec2 deregister-image --delete-associated-snapshots --image-id {before}"
