"""The contract of a compute: this machine, an instance, a droplet and a machine that stays keep it alike; then what only EC2 is asked."""

from __future__ import annotations

import base64
import gzip
import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from maintainer.cli import compute
from maintainer.core.errors import AccessDeniedError, ConfigurationError
from maintainer.core.events import Event, decode
from maintainer.core.job import Job
from maintainer.core.moments import to_text
from maintainer.edges.clock import SystemClock
from maintainer.edges.compute import Compute
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.local import LocalCompute
from maintainer.edges.compute.shapes import DIGEST, ENDED, LIVING
from maintainer.edges.log import Recorder
from maintainer.edges.statestore import new_run_id
from maintainer.settings.load import Settings, load
from tests.support.instances import Fleet
from tests.support.ocean import configure, ocean
from tests.support.repositories import RESTIC
from tests.support.standing import standing


@pytest.fixture
def park(park: Fleet) -> Fleet:
    park.repository()
    return park


def settings(park: Fleet) -> Settings:
    return load(Path(park.sandbox.config))


def chosen_compute(park: Fleet) -> Compute:
    chosen = settings(park)
    told: list[Event] = []
    recorder = Recorder("r", "controller", SystemClock(), told.append)
    return compute.of(chosen, chosen.groups[0], partial(compute.ec2, chosen, recorder), recorder)


@pytest.fixture(params=["local", "ec2", "ssh", "digitalocean"])
def any_compute(request: pytest.FixtureRequest, park: Fleet, tmp_path: Path) -> Iterator[Compute]:
    """A kind of machine; one that stays is no instance that a run could leave behind."""
    if request.param == "digitalocean":
        with ocean(park) as sea:
            configure(park, sea, tmp_path)
            yield chosen_compute(park)
            assert not sea.droplets
            assert len(sea.tags) <= 2, "a run's own tag goes with it"
        return
    if request.param != "ssh":
        yield LocalCompute() if request.param == "local" else chosen_compute(park)
        return
    with standing(park, tmp_path) as machine:
        park.configure('compute = "ec2"', 'compute = "ssh"\n' + machine.section(park))
        yield chosen_compute(park)
        assert park.inside(machine.id, "ls", "/home/maintainer/.local/state/maintainer/runs") == ""
        assert "maintainer.agent" not in park.inside(machine.id, "ps", "-ef")


def job(park: Fleet) -> Job:
    chosen = settings(park)
    made = chosen.job(new_run_id(to_text(SystemClock().now())), chosen.repositories)
    return Job(**{name: getattr(made, name) for name in made.__slots__} | {"restic": RESTIC})


def names(lines: list[str]) -> list[str]:
    return [decode(line).event for line in lines]


def test_an_agent_s_lines_end_with_its_closing_event_and_its_status_agrees(any_compute: Compute, park: Fleet) -> None:
    agent = any_compute.launch(job(park))
    lines = list(agent.lines())
    status = agent.wait()
    assert names(lines)[0] == "run.started"
    assert decode(lines[-1]).fields["exit_code"] == status == 0
    assert agent.last_words() == ""
    park.nothing_is_left()


def test_a_signal_ends_it_in_order(any_compute: Compute, park: Fleet) -> None:
    for _ in range(10):  # on a busy machine a run may be over before the signal comes
        agent = any_compute.launch(job(park))
        lines = []
        for line in agent.lines():
            lines.append(line)
            if len(lines) == 1:
                agent.signal(signal.SIGTERM)
        if (status := agent.wait()) not in (0, 3):
            break
    assert status == 143
    assert names(lines)[-2:] == ["run.signalled", "run.closed"]
    park.nothing_is_left()


def test_what_it_cost_is_known_and_clearing_up_ends_what_is_left_of_that_run_alone(any_compute: Compute, park: Fleet) -> None:
    kept, left = job(park), job(park)
    other, agent = any_compute.launch(kept), any_compute.launch(left)
    launched = len(park.instances())
    any_compute.clear(left.run_id)
    any_compute.clear(left.run_id)
    assert len(park.instances()) == max(0, launched - 1)
    for one in (agent, other):
        one.signal(signal.SIGTERM)
        list(one.lines())
        one.wait()
    assert other.spent is not None
    assert other.spent >= 0
    assert not other.has_died
    park.nothing_is_left()


def asked(ec2: Ec2) -> list[tuple[str, dict[str, Any]]]:
    """Return where every request to EC2 is noted from now on."""
    seen: list[tuple[str, dict[str, Any]]] = []
    ec2._client.meta.events.register_first("provide-client-params.ec2.*", lambda params, model, **_: seen.append((model.name, params)))
    return seen


@pytest.mark.matrix
@pytest.mark.parametrize("launch", ["fleet", "run-instances"])
def test_what_the_emulator_drops_is_in_the_request(park: Fleet, launch: str) -> None:
    keys = f'launch = "{launch}"\nmarket = ["spot"]\nmax_price = 0.0725\n'
    park.configure("[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{keys}")
    made = chosen_compute(park)
    park.configure(keys, "")
    seen = asked(made.ec2)  # type: ignore[attr-defined]
    agent = made.launch(job(park))
    agent.signal(signal.SIGKILL)
    list(agent.lines())
    agent.wait()
    requests = dict(seen)
    data = requests["CreateLaunchTemplate"]["LaunchTemplateData"] if launch == "fleet" else requests["RunInstances"]
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert data["ImageId"] == park.plant.image_id
    marked = {one["ResourceType"]: {tag["Key"] for tag in one["Tags"]} for one in data["TagSpecifications"]}
    assert set(marked) == {"instance", "volume", "network-interface"}
    kept = {"maintainer:owner", "maintainer:run", "maintainer:group", "maintainer:deadline"}
    assert all(kept <= keys for keys in marked.values())
    if launch == "fleet":
        fleet_asked = requests["CreateFleet"]
        assert fleet_asked["Type"] == "instant"
        assert fleet_asked["TargetCapacitySpecification"] == {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
        assert fleet_asked["SpotOptions"]["AllocationStrategy"] == "price-capacity-optimized"
        assert fleet_asked["SpotOptions"]["MaxTotalPrice"] == "0.0725"
        places = fleet_asked["LaunchTemplateConfigs"][0]["Overrides"]
        assert len(places) == len({(one["InstanceType"], one["SubnetId"]) for one in places}) == 10
        assert [name for name, _ in seen].count("DeleteLaunchTemplate") == 1
    else:
        assert requests["RunInstances"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert requests["RunInstances"]["InstanceMarketOptions"]["SpotOptions"]["MaxPrice"] == "0.0725"
    park.nothing_is_left()


@pytest.mark.matrix
@pytest.mark.parametrize("launch", ["fleet", "run-instances"])
def test_another_architecture_has_its_own_image_and_is_taken_where_the_first_has_no_room(park: Fleet, launch: str) -> None:
    ec2 = park.plant.client("ec2")
    other, digest = ec2.register_image(Name=f"arm64 {launch}", Architecture="arm64", RootDeviceName="/dev/xvda")["ImageId"], "b" * 64
    also = f'also = [{{ image = "{other}", image_digest = "{digest}", types = ["m7g.large"] }}]'
    keys = f'[group.sandbox.instance]\nlaunch = "{launch}"\ntypes = ["m5.large"]\nmarket = ["on-demand"]\n{also}\n'
    text = Path(park.sandbox.config).read_text()
    park.configure("[group.sandbox.instance]\n", keys)
    made = chosen_compute(park)
    Path(park.sandbox.config).write_text(text)
    with pytest.raises(ConfigurationError, match="mistake") as refused:
        made.launch(job(park))
    assert f"{other} carries no digest" in str(refused.value)
    ec2.create_tags(Resources=[other], Tags=[{"Key": DIGEST, "Value": digest}])
    with pytest.raises(ConfigurationError) as differs:
        made.launch(job(park))
    assert f"{other}'s root device is /dev/sda1; expected /dev/xvda" in str(differs.value)

    def name_device(parsed: dict[str, Any], **_: Any) -> None:
        for one in parsed["Images"]:  # moto knows no other for what it registers
            one["RootDeviceName"] = "/dev/xvda"

    made.ec2._client.meta.events.register("after-call.ec2.DescribeImages", name_device)  # type: ignore[attr-defined]
    full = park.directory / "capacity.json"
    full.write_text(json.dumps({"on-demand m5.large": "InsufficientInstanceCapacity"}))
    seen = asked(made.ec2)  # type: ignore[attr-defined]
    try:
        agent = made.launch(job(park))
    finally:
        full.unlink()
    (launched,) = park.instances(living=False)  # the hypervisor has no such image, and ends it
    agent.wait()
    assert (launched["ImageId"], launched["InstanceType"]) == (other, "m7g.large")
    data = dict(seen)["CreateLaunchTemplate"]["LaunchTemplateData"] if launch == "fleet" else dict(seen)["RunInstances"]
    sent = data["UserData"] if isinstance(data["UserData"], bytes) else base64.b64decode(data["UserData"])
    assert f"{park.plant.digest} {digest}".encode() in gzip.decompress(sent)
    park.nothing_is_left()


@pytest.mark.matrix
@pytest.mark.parametrize("launch", ["fleet", "run-instances"])
def test_a_groups_own_launch_template_gives_disks_and_tags_and_decides_nothing_else(park: Fleet, launch: str) -> None:
    data = {
        "ImageId": "ami-00000000000000000",
        "InstanceType": "x1.large",
        "SecurityGroupIds": [park.plant.security_group],
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 99}}],
        "Monitoring": {"Enabled": True},
        "TagSpecifications": [
            {"ResourceType": "instance", "Tags": [{"Key": "cost-center", "Value": "7"}, {"Key": "maintainer:owner", "Value": "x"}]}
        ],
    }
    given = park.plant.client("ec2").create_launch_template(LaunchTemplateName=park.root.name, LaunchTemplateData=data)["LaunchTemplate"]
    keys = f'launch = "{launch}"\nlaunch_template = "{given["LaunchTemplateId"]}"\n'
    park.configure("[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{keys}")
    made = chosen_compute(park)
    seen = asked(made.ec2)  # type: ignore[attr-defined]
    agent = made.launch(job(park))
    agent.signal(signal.SIGKILL)
    list(agent.lines())
    agent.wait()
    requests = dict(seen)
    launched = requests["CreateLaunchTemplate"]["LaunchTemplateData"] if launch == "fleet" else requests["RunInstances"]
    assert launched["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 99
    assert launched["Monitoring"] == {"Enabled": True}
    assert launched["ImageId"] == park.plant.image_id
    assert "SecurityGroupIds" not in launched
    tags = {one["ResourceType"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in launched["TagSpecifications"]}
    assert tags["instance"]["cost-center"] == "7"
    assert tags["instance"]["maintainer:owner"] == compute.owner(settings(park))
    assert "cost-center" not in tags["volume"]
    park.plant.client("ec2").delete_launch_template(LaunchTemplateId=given["LaunchTemplateId"])
    park.nothing_is_left()


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("launch", "call"), [("fleet", "CreateFleet"), ("fleet", "CreateLaunchTemplate"), ("run-instances", "RunInstances")]
)
def test_a_lost_answer_makes_no_second_machine(park: Fleet, launch: str, call: str) -> None:
    park.configure("[group.sandbox.instance]\n", f'[group.sandbox.instance]\nlaunch = "{launch}"\n')
    made = chosen_compute(park)
    park.configure(f'launch = "{launch}"\n', "")
    lost: list[str] = []

    def lose(**_: Any) -> None:
        if not lost:
            lost.append(call)
            raise ReadTimeoutError(endpoint_url="https://ec2")

    made.ec2._client.meta.events.register(f"after-call.ec2.{call}", lose)  # type: ignore[attr-defined]
    before = {one["InstanceId"] for one in park.instances(living=False)}
    agent = made.launch(job(park))
    assert lost == [call]
    assert len({one["InstanceId"] for one in park.instances(living=False)} - before) == 1
    agent.signal(signal.SIGKILL)
    list(agent.lines())
    agent.wait()
    assert park.templates() == []
    park.nothing_is_left()


@pytest.mark.parametrize("call", ["DeleteLaunchTemplate", "DescribeInstances"])
def test_a_launch_that_fails_after_the_machine_was_made_leaves_none(park: Fleet, call: str) -> None:
    made = chosen_compute(park)
    seen = asked(made.ec2)  # type: ignore[attr-defined]
    failed: list[str] = []

    def refuse(**_: Any) -> None:
        if not failed:
            failed.append(call)
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, call)

    made.ec2._client.meta.events.register(f"after-call.ec2.{call}", refuse)  # type: ignore[attr-defined]
    before = {one["InstanceId"] for one in park.instances(living=False)}
    with pytest.raises(AccessDeniedError, match=call):
        made.launch(job(park))
    assert failed == [call]
    assert len({one["InstanceId"] for one in park.instances(living=False)} - before) == 1
    park.nothing_is_left()
    assert [name for name, _ in seen].count("DescribeImages") == 1


def test_a_machine_that_is_ending_is_no_orphan() -> None:
    assert not set(LIVING) & ENDED
