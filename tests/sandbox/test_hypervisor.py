"""The hypervisor: what EC2 says runs is a machine, what it ends is none, and nothing of either is left when the sandbox stops."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maintainer.edges.clock import SystemClock
from maintainer.sandbox import daemon, processes
from maintainer.sandbox.machine import read_state
from maintainer.sandbox.plant import Plant
from tests.support.patience import until


@pytest.fixture
def directory() -> Iterator[Path]:
    parent = Path(tempfile.mkdtemp(prefix="maintainer-"))
    try:
        daemon.start(parent / "sandbox", SystemClock())
        yield parent / "sandbox"
    finally:
        daemon.stop(parent / "sandbox", SystemClock())
        shutil.rmtree(parent)


def launch(plant: Plant, **more: Any) -> str:
    answer = plant.client("ec2").run_instances(
        ImageId=plant.image_id,
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SubnetId=plant.subnets[0],
        IamInstanceProfile={"Name": plant.role},
        **more,
    )
    return str(answer["Instances"][0]["InstanceId"])


def power(directory: Path, instance: str) -> str:
    state = read_state(directory / "machines" / instance)
    return state.power if state else "none"


def state(plant: Plant, instance: str) -> str:
    found = plant.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    return str(found["State"]["Name"])


def left(directory: Path) -> list[str]:
    """Return what still runs of a sandbox, by command lines, and what is mounted below it."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(directory) in line:
            lines.append(line)
    return lines + [line for line in Path("/proc/mounts").read_text().splitlines() if str(directory) in line]


def test_an_instance_is_a_machine_until_ec2_ends_it(directory: Path) -> None:
    plant = Plant.read(directory)
    one = launch(plant, UserData="#cloud-config\nruncmd: [echo said on the console]\n")
    home = directory / "machines" / one
    until(lambda: power(directory, one) == "running")
    until(lambda: "said on the console" in plant.client("ec2").get_console_output(InstanceId=one)["Output"])
    plant.client("ec2").terminate_instances(InstanceIds=[one])
    until(lambda: power(directory, one) == "terminated")
    until(lambda: not (home / "disk").exists())
    assert "said on the console" in (home / "console.log").read_text()


def test_a_machine_that_powers_off_is_terminated_in_ec2(directory: Path) -> None:
    plant = Plant.read(directory)
    one = launch(plant, UserData="#cloud-config\nruncmd: [poweroff]\n")
    until(lambda: state(plant, one) == "terminated")


def test_the_same_client_token_launches_one_machine(directory: Path) -> None:
    plant = Plant.read(directory)
    assert launch(plant, ClientToken="t") == launch(plant, ClientToken="t") != launch(plant, ClientToken="u")


def test_machines_outlive_the_hypervisor_and_the_next_start_brings_another(directory: Path) -> None:
    plant = Plant.read(directory)
    one = launch(plant)
    until(lambda: power(directory, one) == "running")
    processes.signal_holder(directory / "hypervisor.lock", signal.SIGKILL)
    until(lambda: not processes.is_held(directory / "hypervisor.lock"))
    assert processes.is_held(directory / "machines" / one / "lock")
    daemon.start(directory, SystemClock())
    plant.client("ec2").terminate_instances(InstanceIds=[one])
    until(lambda: power(directory, one) == "terminated")


def test_a_machine_whose_supervisor_died_before_it_told_anything_is_terminated_in_ec2(directory: Path) -> None:
    plant, lock = Plant.read(directory), directory / "hypervisor.lock"
    until(lambda: processes.is_held(lock) and lock.read_text() != "")  # a sandbox that has just started has one that may still be starting
    processes.signal_holder(lock, signal.SIGKILL)
    until(lambda: not processes.is_held(lock))
    one = launch(plant)
    home = directory / "machines" / one
    home.mkdir(parents=True)
    (home / "lock").touch()
    long_ago = home.stat().st_mtime - 60
    os.utime(home, (long_ago, long_ago))
    daemon.start(directory, SystemClock())
    until(lambda: state(plant, one) == "terminated")


def test_stop_finds_everything_after_kill_9_of_the_hypervisor(directory: Path) -> None:
    plant = Plant.read(directory)
    one = launch(plant)
    until(lambda: power(directory, one) == "running")
    told = read_state(directory / "machines" / one)
    assert told is not None
    assert not told.group or Path(told.group).exists()
    processes.signal_holder(directory / "hypervisor.lock", signal.SIGKILL)
    assert daemon.stop(directory, SystemClock())
    assert left(directory) == []
    assert not told.group or not Path(told.group).exists()
    assert not Path(f"/proc/{told.init}").exists() or "Z" in Path(f"/proc/{told.init}/stat").read_text()
    assert not directory.exists()
    assert os.listdir(directory.parent) == []  # noqa: PTH208
