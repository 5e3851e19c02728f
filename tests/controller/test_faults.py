"""What can be wrong with an instance that runs, made to happen on a real machine: the operator learns what it was, and nothing is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from maintainer.edges.clock import read_offset
from maintainer.edges.compute import instance
from maintainer.sandbox import daemon
from tests.controller.test_end import follow_to, settled
from tests.support.instances import Fleet, shown
from tests.support.patience import PATIENCE_S


def test_an_sshd_that_never_comes_up_is_told_with_the_console_that_says_why(park: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = park.repository("deaf")
    monkeypatch.setattr(instance, "REACHED_WITHIN_S", 8)
    broken = [park.directory / "seed" / layer / "usr/sbin/sshd" for layer in ("systemd", "script")]
    for sshd in broken:
        sshd.write_text("#!/bin/sh\necho '<3>sshd: no such cipher' >&2\nexit 255\n")
        sshd.chmod(0o755)
    try:
        code, output, _ = park.call("run", "--once", "--repository", "deaf")
    finally:
        for sshd in broken:
            sshd.unlink()
    assert code == 6
    first, _, console = output[output.index("the agent was lost") :].partition("\n")
    assert "the instance runs and does not answer" in first
    assert "Connection refused" in first
    assert "sshd: no such cipher" in console
    assert "Cloud-init" in console
    settled(park, "deaf", repository)


@pytest.mark.long
def test_a_subnet_without_a_way_to_s3_is_told_as_that(park: Fleet) -> None:
    repository = park.repository("closed")
    ec2 = park.plant.client("ec2")
    (other,) = ec2.describe_subnets(SubnetIds=[park.plant.subnets[0]])["Subnets"]
    block = f"127.8.{3 + len(ec2.describe_subnets()['Subnets'])}.0/24"
    closed = ec2.create_subnet(VpcId=other["VpcId"], CidrBlock=block, AvailabilityZone=other["AvailabilityZone"])["Subnet"]["SubnetId"]
    configuration = Path(park.sandbox.config).read_text()
    park.configure(f'"{park.plant.subnets[0]}", "{park.plant.subnets[1]}"', f'"{closed}"')
    code, events = park.run("--repository", "closed")
    assert code == 4
    (failed,) = [event.fields for event in events if event.event == "run.failed"]
    assert f"{park.sandbox.endpoint.removeprefix('http://')} can not be reached within 10 s" in str(failed["reason"]), shown(events)
    assert "gateway endpoint" in str(failed["guidance"])
    Path(park.sandbox.config).write_text(configuration)
    settled(park, "closed", repository)


def test_an_instance_whose_clock_is_an_hour_behind_is_told_and_decides_nothing(park: Fleet) -> None:
    repository = park.repository("late")
    process = park.start("run", "--once", "--json", "--repository", "late")
    follow_to(process, "instance.launched")  # it has the time of now, and keeps it
    daemon.move_clock(park.directory, read_offset(park.directory / "clock") + 3600)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "this machine's clock: 60 minutes behind the store's" in output
    settled(park, "late", repository)
