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
import traceback
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from maintainer.edges.clock import SystemClock
from maintainer.edges.log import diagnostics
from maintainer.sandbox import image, processes, snapshots
from maintainer.sandbox.machine import ELASTIC, Specification, hold_up, read_state
from maintainer.sandbox.plant import CHANGED, Plant

TURN_S = 0.1
LOOK_S = 30.0
"""EC2 is asked at least so often; otherwise when it says that something has changed."""
START_S = 10.0
"""How long a supervisor may take until it holds its lock and tells of its machine."""
STOPPED = ["stopping", "stopped"]
WANTED = ["pending", "running", *STOPPED]
MIRROR = "deb.debian.org:80"


class Supervisors:
    """Starts machines' supervisors, from a process that has imported all they need: that takes longer than the rest of their start."""

    def __init__(self) -> None:
        """Fork that process. Call before anything is open that a supervisor must not inherit: locks, connections, threads."""
        homes, self._tell = os.pipe()
        if os.fork() == 0:
            os.close(self._tell)
            try:
                self._serve(homes)
            finally:
                os._exit(0)
        os.close(homes)

    def start(self, home: Path) -> None:
        """Start the supervisor of one machine; it outlives us."""
        os.write(self._tell, f"{home}\n".encode())

    @staticmethod
    def _serve(homes: int) -> None:
        """Fork a supervisor for each home that is named, until the hypervisor is gone."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        with os.fdopen(homes, encoding="utf-8") as lines:
            for line in lines:
                if os.fork() == 0:
                    os.close(homes)
                    _supervise(Path(line.rstrip("\n")))


def _supervise(home: Path) -> None:
    """Be a supervisor. Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(home / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for output in (1, 2):
            os.dup2(log, output)
        status = hold_up(home)
    except BaseException:  # noqa: BLE001 - a forked child must not run its parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


class Hypervisor:
    """One hypervisor."""

    def __init__(self, directory: Path, plant: Plant, supervisors: Supervisors) -> None:
        self._directory = directory
        self._supervisors = supervisors
        self._machines = directory / "machines"
        self._plant = plant
        self._client: Any = plant.client("ec2")
        self._iam: Any = plant.client("iam")
        self._clock = SystemClock()
        self._seen: tuple[int, float] | None = None
        self._wanted: dict[str, dict[str, Any]] = {}
        self._stopped: set[str] = set()
        self._elastic: dict[str, str] = {}
        self._settled: set[str] = set()
        """Machines that have ended, and of which nothing is left to remove: they cost nothing any more."""

    def turn(self) -> None:
        """Make the machines agree with EC2, once."""
        changed, now = self._changed(), self._clock.monotonic()
        if self._seen is None or changed != self._seen[0] or now > self._seen[1] + LOOK_S:
            found, self._elastic = self._look(), self._addresses()
            self._wanted = {name: one for name, one in found.items() if one["State"]["Name"] not in STOPPED}
            self._stopped = set(found) - set(self._wanted)
            self._seen = changed, now
        for name, instance in self._wanted.items():
            home = self._machines / name
            if not home.exists():
                self._boot(home, instance)
            elif self._is_dead(home):
                self._client.terminate_instances(InstanceIds=[name])
            else:
                self._lead_to(home, self._elastic.get(name, ""))
        for home in self._machines.iterdir():
            if home.name not in self._wanted and home.name not in self._settled and not home.suffix:
                self._end(home, keep=home.name in self._stopped)

    def _is_dead(self, home: Path) -> bool:
        """Tell whether a machine's supervisor has ended: also one that died before it had told anything of its machine."""
        if processes.is_held(home / "lock"):
            return False
        return read_state(home) is not None or self._clock.now().timestamp() > home.stat().st_mtime + START_S

    def _changed(self) -> int:
        """Return when EC2 last said that something has changed; to be read before it is asked."""
        file = self._directory / CHANGED
        return file.stat().st_mtime_ns if file.exists() else 0

    def _look(self) -> dict[str, dict[str, Any]]:
        """Return the instances that are to run, or may be made images of, by id."""
        # Not those that have ended: they are shown for an hour, and each look would cost more than the one before.
        pages = self._client.get_paginator("describe_instances").paginate(Filters=[{"Name": "instance-state-name", "Values": WANTED}])
        return {one["InstanceId"]: one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]}

    def _addresses(self) -> dict[str, str]:
        """Return the elastic addresses by the instance that each leads to."""
        found = self._client.describe_addresses()["Addresses"]
        return {one["InstanceId"]: one["PublicIp"] for one in found if one.get("InstanceId")}

    @staticmethod
    def _lead_to(home: Path, address: str) -> None:
        """Tell a machine's supervisor which elastic address leads to it, where that has changed."""
        told = home / ELASTIC
        if (told.read_text(encoding="ascii") if told.exists() else "") != address:
            new = home / f"{ELASTIC}.new"
            new.write_text(address, encoding="ascii")
            new.replace(told)

    def _let_in(self, instance: dict[str, Any]) -> tuple[tuple[int, tuple[str, ...]], ...]:
        """Return the ports that an instance's security groups open to networks."""
        if not (groups := [one["GroupId"] for one in instance.get("SecurityGroups", [])]):
            return ()
        opened: dict[int, tuple[str, ...]] = {}
        for group in self._client.describe_security_groups(GroupIds=groups)["SecurityGroups"]:
            for rule in group["IpPermissions"]:
                networks = tuple(one["CidrIp"] for one in rule.get("IpRanges", []))
                if rule["IpProtocol"] == "tcp" and networks and rule["FromPort"] == rule["ToPort"] != self._plant.ssh_port:
                    opened[rule["FromPort"]] = opened.get(rule["FromPort"], ()) + networks
        return tuple(opened.items())

    def _boot(self, home: Path, instance: dict[str, Any]) -> None:
        name = instance["InstanceId"]
        chosen = snapshots.find(self._directory, Path(self._plant.images), instance["ImageId"])
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
            seed=str(self._directory / "seed"),
            layers=chosen.layers,
            lifecycle=instance.get("InstanceLifecycle", "on-demand"),
            role=self._role_of(instance.get("IamInstanceProfile", {}).get("Arn", "").rpartition("/")[2]),
            endpoints=(self._plant.endpoint,),
            reaches_endpoints=self._has_way_to_s3(instance["SubnetId"]),
            mirror=MIRROR if self._has_way_out(instance["SubnetId"]) else "",
            systemd=self._plant.systemd,
            ports=self._let_in(instance),
        )
        (new / "specification.json").write_text(specification.encode(), encoding="utf-8")
        new.rename(home)
        self._supervisors.start(home)
        limit = self._clock.monotonic() + START_S
        while read_state(home) is None and self._clock.monotonic() < limit:
            self._clock.sleep(TURN_S / 10)

    def _role_of(self, profile: str) -> str:
        """Return the ARN of the role in a profile; empty where there is none."""
        if not profile:
            return ""
        roles = self._iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]["Roles"]
        return str(roles[0]["Arn"]) if roles else ""

    def _has_way_to_s3(self, subnet: str) -> bool:
        """Tell whether the subnet's own route table leads to a gateway endpoint of S3."""
        tables = self._client.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
        endpoints = self._client.describe_vpc_endpoints(
            Filters=[{"Name": "service-name", "Values": [f"com.amazonaws.{self._plant.region}.s3"]}]
        )
        leading = {table for endpoint in endpoints["VpcEndpoints"] for table in endpoint.get("RouteTableIds", [])}
        return any(table["RouteTableId"] in leading for table in tables)

    def _has_way_out(self, subnet: str) -> bool:
        """Tell whether the subnet's own route table leads to the internet."""
        tables = self._client.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet]}])["RouteTables"]
        return any(route.get("GatewayId", "").startswith("igw-") for table in tables for route in table["Routes"])

    def _end(self, home: Path, *, keep: bool) -> None:
        if processes.is_held(home / "lock"):
            state = read_state(home)
            if state is None or state.power != "shutting-down":
                processes.signal_holder(home / "lock", signal.SIGTERM)
        elif not keep:
            image.remove(home / "disk")  # what it said on its console stays
            if self._is_dead(home):  # its supervisor may not hold its lock yet
                self._settled.add(home.name)


def main() -> None:
    """Turn until ended, or until the sandbox is gone."""
    directory = Path(sys.argv[1])
    supervisors = Supervisors()
    processes.hold(directory / "hypervisor.lock")
    (directory / "machines").mkdir(mode=0o700, exist_ok=True)
    hypervisor = Hypervisor(directory, Plant.read(directory), supervisors)
    clock = SystemClock()
    while directory.exists():
        try:
            hypervisor.turn()
        except (ClientError, BotoCoreError) as error:
            diagnostics().warning("EC2 does not answer", reason=str(error))
        clock.sleep(TURN_S)


if __name__ == "__main__":
    main()
