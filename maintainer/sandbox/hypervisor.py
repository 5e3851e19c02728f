"""The sandbox's hypervisor: makes the machines agree with what EC2 says. `python -m maintainer.sandbox.hypervisor DIRECTORY`.

What EC2 has and is not here is booted; what EC2 ends is powered off here; what has powered itself off here is ended in EC2. All that it
knows lies in DIRECTORY/machines, and the machines do not depend on it: it may die, and another goes on. It holds a lock on
DIRECTORY/hypervisor.lock while it lives.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from maintainer.edges.clock import SystemClock
from maintainer.edges.log import diagnostics
from maintainer.sandbox import image, processes
from maintainer.sandbox.machine import Specification, read_state
from maintainer.sandbox.plant import Plant

TURN_S = 0.2
WANTED = ["pending", "running"]


class Hypervisor:
    """One hypervisor."""

    def __init__(self, directory: Path, plant: Plant) -> None:
        self._directory = directory
        self._machines = directory / "machines"
        self._plant = plant
        self._client: Any = plant.client("ec2")

    def turn(self) -> None:
        """Make the machines agree with EC2, once."""
        # Not those that have ended: they are shown for an hour, and each look would cost more than the one before.
        pages = self._client.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-state-name", "Values": WANTED}])
        wanted = {one["InstanceId"]: one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]}
        for name, instance in wanted.items():
            home = self._machines / name
            if not home.exists():
                self._boot(home, instance)
            elif not processes.is_held(home / "lock") and read_state(home) is not None:
                self._client.terminate_instances(InstanceIds=[name])
        for home in self._machines.iterdir():
            if home.name not in wanted and not home.suffix:
                self._end(home)

    def _boot(self, home: Path, instance: dict[str, Any]) -> None:
        name = instance["InstanceId"]
        chosen = next((one for one in image.built(Path(self._plant.images)) if one.image_id == instance["ImageId"]), None)
        if chosen is None:
            diagnostics().error("no such image in the cache", instance=name, image=instance["ImageId"])
            self._client.terminate_instances(InstanceIds=[name])
            return
        answer = self._client.describe_instance_attribute(InstanceId=name, Attribute="userData")
        new = home.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        (new / "user-data").write_bytes(base64.b64decode(answer.get("UserData", {}).get("Value", "")))
        specification = Specification(
            instance_id=name,
            address=instance["PrivateIpAddress"],
            ssh_port=self._plant.ssh_port,
            zone=instance["Placement"]["AvailabilityZone"],
            instance_type=instance["InstanceType"],
            image_id=chosen.image_id,
            layers=(str(self._directory / "seed"), *chosen.layers),
            lifecycle=instance.get("InstanceLifecycle", "on-demand"),
            role=instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2],
            endpoints=(self._plant.endpoint,),
            region=self._plant.region,
        )
        (new / "specification.json").write_text(specification.encode(), encoding="utf-8")
        new.rename(home)
        processes.start("maintainer.sandbox.machine", [str(home)], home / "supervisor.log")
        clock = SystemClock()
        limit = clock.monotonic() + 10
        while read_state(home) is None and clock.monotonic() < limit:
            clock.sleep(TURN_S / 10)

    def _end(self, home: Path) -> None:
        if processes.is_held(home / "lock"):
            state = read_state(home)
            if state is None or state.power != "shutting-down":
                processes.signal_holder(home / "lock", signal.SIGTERM)
        elif (home / "disk").exists():
            image.remove(home / "disk")  # what it said on its console stays


def main() -> None:
    """Turn until ended, or until the sandbox is gone."""
    directory = Path(sys.argv[1])
    processes.hold(directory / "hypervisor.lock")
    (directory / "machines").mkdir(mode=0o700, exist_ok=True)
    hypervisor = Hypervisor(directory, Plant.read(directory))
    clock = SystemClock()
    while directory.exists():
        try:
            hypervisor.turn()
        except (ClientError, BotoCoreError) as error:
            diagnostics().warning("EC2 does not answer", reason=str(error))
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # supervisors that have ended
                pass
        clock.sleep(TURN_S)


if __name__ == "__main__":
    main()
