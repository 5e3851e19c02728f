"""`maintainer image build --ec2`, in the sandbox: the image that it makes is launched from, and a build that fails leaves nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from maintainer.core.errors import NoInstanceError
from maintainer.edges.clock import SystemClock
from maintainer.edges.compute import images
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.shapes import Instance, Marks
from maintainer.sandbox.daemon import Wanted
from tests.support.instances import Fleet, fleet, shown
from tests.support.patience import until


@pytest.fixture(scope="module")
def yard() -> Iterator[Fleet]:
    with fleet(Wanted(builder=True)) as made:
        yield made


@pytest.fixture
def park(yard: Fleet, request: pytest.FixtureRequest) -> Fleet:
    return yard.anew(request.node.name)


def own_images(park: Fleet) -> list[dict[str, Any]]:
    """Return the account's images that were made of an instance."""
    every = park.plant.client("ec2").describe_images(Owners=["self"])["Images"]
    return [one for one in every if one["ImageId"] != park.plant.image_id]


@pytest.mark.long
def test_what_was_built_is_launched_from_and_holds_nothing_of_its_builder(park: Fleet) -> None:
    code, output, errors = park.call("image", "build", "--ec2", "--again", "--json")
    assert code == 0, output + errors
    *events, last = [json.loads(line) for line in output.splitlines()]
    assert [event["step"] for event in events if event["event"] == "image.step"] == ["unpack", "base", "agent", "verify", "seal"]
    (image,) = own_images(park)
    assert (image["ImageId"], image["State"], image["Public"]) == (last["image_id"], "available", False)
    assert {tag["Key"]: tag["Value"] for tag in image["Tags"]}["maintainer:digest"] == last["digest"]
    (mapping,) = image["BlockDeviceMappings"]
    (snapshot,) = park.plant.client("ec2").describe_snapshots(SnapshotIds=[mapping["Ebs"]["SnapshotId"]])["Snapshots"]
    assert {tag["Key"] for tag in snapshot["Tags"]} == {"Name", "maintainer:digest"}
    park.nothing_is_left()

    upper = park.directory / "images" / last["image_id"] / "upper"
    assert "admin" not in (upper / "etc/passwd").read_text()
    left = [path.name for path in upper.rglob("*") if path.name in {"kit", "authorized_keys", "90-cloud-init-users"} and path.exists()]
    assert left == []

    park.repository()
    park.configure(f'image = "{park.plant.image_id}"\nimage_digest = "{park.plant.digest}"\ninstance_profile', "instance_profile")
    park.configure(
        "[group.sandbox.instance]\n", f'[group.sandbox.instance]\nimage = "{last["image_id"]}"\nimage_digest = "{last["digest"]}"\n'
    )
    code, told = park.run()
    assert code == 0, shown(told)
    assert "run.committed" in [event.event for event in told]
    park.nothing_is_left()

    # The same checkout needs no second image; and the list says who pins which.
    assert json.loads(park.call("image", "build", "--ec2", "--json")[1])["is_new"] is False
    assert f"{last['image_id']}  " in park.call("image", "list", "--ec2")[1]


def test_a_step_that_fails_is_told_with_its_last_words_and_leaves_nothing(park: Fleet) -> None:
    before = own_images(park)
    park.configure(f'subnets = ["{park.plant.outside}"]', f'subnets = ["{park.plant.subnets[0]}"]')
    code, output, errors = park.call("image", "build", "--ec2", "--again")
    assert code == 5, output + errors
    assert "base failed on i-" in errors
    assert "Failed to fetch http://" in errors
    assert own_images(park) == before
    park.nothing_is_left()


def test_sweep_ends_the_builder_of_a_build_that_was_killed(park: Fleet) -> None:
    process = park.start("image", "build", "--ec2", "--again")
    until(lambda: bool(park.instances()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (left,) = park.instances()
    code, said, _ = park.call("sweep", "--dry-run")
    assert (code, f"{left['InstanceId']} of run " in said, "(/builder)" in said) == (0, True, True), said
    assert park.call("sweep")[0] == 0
    park.nothing_is_left()


@pytest.mark.parametrize(
    ("found", "wanted", "why"),
    [
        ("[builder]\n", "[group.other]\ncompute = 'local'\n[group.other.instance]\nimage_digest = '" + "0" * 64 + "'\n", "no such section"),
        ('image = "{stock}"', 'image = "ami-00000000000000000"', "no image ami-00000000000000000 here"),
        ("[builder]\n", '[builder]\nlimit = "soon"\n', "builder.limit"),
    ],
)
def test_a_mistake_is_told_before_anything_costs(park: Fleet, found: str, wanted: str, why: str) -> None:
    park.configure(found.format(stock=park.plant.stock), wanted)
    if why == "no such section":
        text = Path(park.sandbox.config).read_text()
        Path(park.sandbox.config).write_text(text[: text.index("[group.other]")])
    code, output, errors = park.call("image", "build", "--ec2")
    assert (code, why in errors) == (2, True), output + errors
    assert park.instances(living=False) == []


class Slow:
    """EC2, of which an image becomes what it becomes; `asked` are the calls."""

    def __init__(self, states: list[str], instance: str = "stopped") -> None:
        self.states, self.instance, self.asked = states, instance, list[str]()

    def call(self, name: str, **_: Any) -> dict[str, Any]:
        self.asked.append(name)
        if name == "DescribeImages":
            return {"Images": [{"State": self.states.pop(0), "StateReason": {"Message": "the snapshot failed"}}]}
        return {"ImageId": "ami-1"}

    def look(self, name: str) -> Instance | None:
        marks = Marks("", "", "", "", "")
        return Instance(name, self.instance, "", "", "", "", datetime.now(UTC), marks) if self.instance else None


class Hasty(SystemClock):
    """A clock that does not wait."""

    def sleep(self, seconds: float) -> None:
        """Not at all."""


def test_an_image_is_waited_for() -> None:
    ec2 = Slow(["pending", "pending", "available"])
    assert images.make(cast("Ec2", ec2), "i-1", "d", "n", Hasty()) == "ami-1"
    assert ec2.asked == ["StopInstances", "CreateImage", *["DescribeImages"] * 3]


@pytest.mark.parametrize(
    ("states", "instance", "why", "removed"),
    [(["pending", "failed"], "stopped", "the snapshot failed", 1), ([], "terminated", "terminated", 0), ([], "", "it is gone", 0)],
)
def test_an_image_that_does_not_come_to_be_is_removed(states: list[str], instance: str, why: str, removed: int) -> None:
    ec2 = Slow(states, instance)
    with pytest.raises(NoInstanceError, match=why):
        images.make(cast("Ec2", ec2), "i-1", "d", "n", Hasty())
    assert ec2.asked.count("DeregisterImage") == removed
