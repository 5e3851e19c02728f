"""What is wrong with an instance's configuration is told by name, with what to do; nothing is started, or nothing is left."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from maintainer.controller import once
from maintainer.core.errors import AccessDeniedError, ConfigurationError, NoInstanceError
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.ec2calls import RefusedError, translate
from maintainer.edges.compute.shapes import Instance
from maintainer.edges.s3errors import translate as translate_s3
from tests.support.instances import Fleet, shown
from tests.support.patience import PATIENCE_S, until


@pytest.fixture
def park(park: Fleet) -> Fleet:
    park.repository()
    return park


@contextmanager
def configured(park: Fleet, found: str, wanted: str) -> Iterator[None]:
    """Change the configuration for a while."""
    text = Path(park.sandbox.config).read_text()
    park.configure(found, wanted)
    try:
        yield
    finally:
        Path(park.sandbox.config).write_text(text)


OTHER = "f" * 64


@pytest.mark.parametrize(
    ("found", "wanted", "code", "said"),
    [
        ('image = "{image}"', 'image = "ami-00000000000000000"', 2, "no image ami-00000000000000000 here"),
        ('image_digest = "{digest}"', f'image_digest = "{OTHER}"', 2, "image_digest: {image} carries {digest}; expected what is pinned"),
        ("subnets = {subnets}", 'subnets = ["subnet-00000000"]', 2, "[group.NAME.instance] subnets: InvalidSubnetID.NotFound"),
        (
            'security_groups = ["{group}"]',
            'security_groups = ["sg-00000000"]',
            2,
            "[group.NAME.instance] security_groups: InvalidGroup.NotFound",
        ),
        ('instance_profile = "{role}"', 'instance_profile = "nobody"', 2, "[group.NAME.instance]"),
        ('compute = "ec2"', 'compute = "ec3"', 2, "group.sandbox.compute"),
        ('image_digest = "{digest}"', 'image_digest = "short"', 2, "64 hexadecimal digits"),
        ('password = "ssm:/maintainer/web"', 'password = "file:/etc/hostname"', 2, "a source on this machine (file:)"),
        (
            'password = "ssm:/maintainer/web"',
            'password = "ssm:/maintainer/none"',
            2,
            "ssm:/maintainer/none: ParameterNotFound\n    → create it in this account and region",
        ),
        ("[group.sandbox.instance]", "[group.sandbox.instanze]", 2, "instance"),
    ],
)
def test_one_mistake(park: Fleet, found: str, wanted: str, code: int, said: str) -> None:
    plant = park.plant
    words = {
        "image": plant.image_id,
        "digest": plant.digest,
        "subnets": json.dumps(plant.subnets),
        "role": plant.role,
        "group": plant.security_group,
    }
    with configured(park, found.format(**words), wanted):
        status, output, errors = park.call("run", "--once")
    assert status == code, output + errors
    assert said.format(**words) in output + errors
    assert "Traceback" not in output + errors
    park.nothing_is_left()


def test_more_repositories_than_user_data_can_name_are_refused_before_a_launch(park: Fleet) -> None:
    with Path(park.sandbox.config).open("a") as config:
        for _ in range(400):
            name = secrets.token_hex(20)
            config.write(f'[[repository]]\nname = "{name}"\ngroup = "sandbox"\nlocation = "s3:{park.sandbox.endpoint}/many/{name}"\n')
            config.write(f'password = "ssm:/maintainer/{name}"\n')
    code, output, _ = park.call("run", "--once")
    assert code == 2
    assert "16384" in output
    assert "split the group" in output
    assert not park.instances(living=False)


def test_an_image_whose_tag_lies_is_refused_by_the_agent(park: Fleet) -> None:
    ec2 = park.plant.client("ec2")
    ec2.create_tags(Resources=[park.plant.image_id], Tags=[{"Key": "maintainer:digest", "Value": OTHER}])
    try:
        with configured(park, park.plant.digest, OTHER):
            code, output, _ = park.call("run", "--once")
    finally:
        ec2.create_tags(Resources=[park.plant.image_id], Tags=[{"Key": "maintainer:digest", "Value": park.plant.digest}])
    assert code == 2
    assert "made from another image than the one that was pinned" in output
    park.nothing_is_left()


def test_without_spot_capacity_on_demand_is_taken_and_without_any_it_is_exit_5(park: Fleet) -> None:
    types = ["m5.large", "m6i.large"]
    keys = f'types = {json.dumps(types)}\ntry_for = "0m"'
    with configured(park, "[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{keys}\n"):
        full = park.directory / "capacity.json"
        full.write_text(
            json.dumps(
                {
                    "spot m5.large": "InsufficientInstanceCapacity",
                    "spot m6i.large": "MaxSpotInstanceCountExceeded",
                    "on-demand m5.large": "VcpuLimitExceeded",
                }
            )
        )
        code, events = park.run()
        assert code == 0, shown(events)
        (launched,) = [event.fields for event in events if event.event == "instance.launched"]
        assert (launched["market"], launched["type"]) == ("on-demand", "m6i.large")
        full.write_text(json.dumps({f"{market} {kind}": "VcpuLimitExceeded" for market, kind in product(("spot", "on-demand"), types)}))
        code, output, _ = park.call("run", "--once")
        full.unlink()
    assert code == 5
    assert "no instance is to be had: spot: quota: VcpuLimitExceeded" in output
    assert "on-demand: quota: VcpuLimitExceeded" in output
    assert "quota" in output
    assert park.templates() == []


def test_what_is_too_dear_is_told_as_that_and_a_later_try_finds_what_has_become_cheaper(
    park: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(once, "FIRST_PAUSE_S", 1)
    dear = park.directory / "prices.json"
    dear.write_text(json.dumps({"spot m5.large": "0.05"}))
    keys = 'types = ["m5.large"]\nmarket = ["spot"]\nmax_price = 0.04\n'
    real = Ec2.launch

    def launch(self: Ec2, *given: Any) -> Instance:
        try:
            return real(self, *given)
        except NoInstanceError:
            dear.unlink()  # from now on it is cheaper
            raise

    monkeypatch.setattr(Ec2, "launch", launch)
    with configured(park, "[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{keys}"):
        code, events = park.run()
    assert code == 0, shown(events)
    postponed = [event.fields for event in events if event.event == "launch.postponed"]
    assert len(postponed) == 1
    assert "spot: price: SpotMaxPriceTooLow" in str(postponed[0]["reason"])
    assert str(postponed[0]["guidance"]).startswith("raise max_price")
    assert len([event for event in events if event.event == "instance.launched"]) == 1
    park.nothing_is_left()


def test_plain_run_instances_where_a_user_wants_it(park: Fleet) -> None:
    with configured(park, "[group.sandbox.instance]\n", '[group.sandbox.instance]\nlaunch = "run-instances"\nmarket = ["on-demand"]\n'):
        code, events = park.run()
    assert code == 0, shown(events)
    assert [event.fields["market"] for event in events if event.event == "instance.launched"] == ["on-demand"]
    park.nothing_is_left()


RIGHTS = {
    "fleet": ("DescribeInstances", "DescribeImages", "CreateLaunchTemplate", "CreateFleet", "DeleteLaunchTemplate"),
    "run-instances": ("RunInstances",),
}


@pytest.mark.matrix(kind=lambda launch, call: launch)
@pytest.mark.parametrize(("launch", "call"), [(launch, call) for launch, calls in RIGHTS.items() for call in calls])
def test_a_right_that_is_missing_is_named_and_leaves_nothing(park: Fleet, launch: str, call: str) -> None:
    with configured(park, "[group.sandbox.instance]\n", f'[group.sandbox.instance]\nlaunch = "{launch}"\n'), refused(park, call):
        process = park.start("run", "--once")  # one of its own: sweep spares what a living controller has
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2, output
    assert f"{call}: UnauthorizedOperation (You are not authorized to perform this operation: {call}.)" in output
    assert f"allow ec2:{call}" in output
    assert "ENCODED" not in output
    park.call("sweep")
    park.nothing_is_left()


def test_a_machine_that_can_not_be_terminated_is_told_and_powers_itself_off(park: Fleet) -> None:
    with refused(park, "TerminateInstances"):
        code, events = park.run()
        assert code == 0, shown(events)
        (failed,) = [event.fields for event in events if event.event == "termination.failed"]
        assert "TerminateInstances: UnauthorizedOperation" in str(failed["reason"])
        until(lambda: not park.machines())
    park.nothing_is_left()


@contextmanager
def refused(park: Fleet, call: str) -> Iterator[None]:
    """Let EC2 refuse one of its calls for a while, whoever asks."""
    refusals = park.directory / "refusals.json"
    refusals.write_text(json.dumps({call: "UnauthorizedOperation"}))
    try:
        yield
    finally:
        refusals.unlink()


def refusal(code: str, message: str = "m") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "RunInstances")


def test_a_quota_is_told_as_no_place_and_a_missing_right_by_its_statement() -> None:
    assert isinstance(translate("CreateFleet", refusal("VcpuLimitExceeded")), RefusedError)
    assert isinstance(translate("CreateFleet", refusal("MaxSpotInstanceCountExceeded")), RefusedError)
    for call in ("RunInstances", "CreateFleet", "CreateLaunchTemplate", "DescribeInstances", "TerminateInstances", "GetConsoleOutput"):
        denied = translate(call, refusal("UnauthorizedOperation", "You are not authorized. Encoded authorization failure message: x" * 50))
        assert isinstance(denied, AccessDeniedError)
        assert f"ec2:{call}" in denied.guidance
        assert "Encoded" not in denied.message
    assert isinstance(translate("RunInstances", refusal("InvalidGroup.NotFound")), ConfigurationError)
    assert isinstance(translate("RunInstances", refusal("SomethingNew")), NoInstanceError)


def test_a_subnet_without_a_way_to_s3_is_told_as_that() -> None:
    said = translate_s3(ConnectTimeoutError(endpoint_url="https://s3"), "get_object", "b", "k", "https://s3.example.com")
    assert "s3.example.com can not be reached within 10 s" in said.message
    assert "gateway endpoint" in said.guidance
