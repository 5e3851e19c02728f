"""A machine that stays, for `compute = "ssh"`: launched in the sandbox's EC2 by hand, with an account that may run agents and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maintainer.edges.compute.sshcompute import FORCED
from maintainer.edges.ssh import generate_key
from tests.support.instances import Fleet
from tests.support.patience import until

SECTION = """
[group.sandbox.machine]
address = "{address}"
port = {port}
host_key = "{host_key}"
key = "file:{key}"
"""


@dataclass(frozen=True)
class Standing:
    """Its id, where it answers, and the private key that opens, in a file."""

    id: str
    address: str
    host_key: str
    key: Path

    def section(self, park: Fleet) -> str:
        return SECTION.format(address=self.address, port=park.plant.ssh_port, host_key=self.host_key, key=self.key)


@contextmanager
def standing(park: Fleet, folder: Path) -> Iterator[Standing]:
    """Launch it, wait until it answers, and terminate it at the end."""
    host, login = generate_key(), generate_key()
    key = folder / "machine.key"
    key.write_text(login.private)
    lines = (
        "#cloud-config",
        "ssh_deletekeys: true",
        f"ssh_keys: {json.dumps({'ed25519_private': host.private, 'ed25519_public': host.public})}",
        "write_files:",
        "  - path: /home/maintainer/.ssh/authorized_keys",
        f"    content: {json.dumps(f'{FORCED} {login.public}' + chr(10))}",
        "runcmd:",
        "  - touch /run/ready",
    )
    plant = park.plant
    (made,) = plant.client("ec2").run_instances(
        ImageId=plant.image_id,
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        IamInstanceProfile={"Name": plant.role},
        UserData="\n".join(lines),
        NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": plant.subnets[0], "Groups": [plant.security_group]}],
    )["Instances"]
    try:
        until(lambda: bool(park.inside(made["InstanceId"], "ls", "/run/ready")))
        park.standing |= {made["InstanceId"]}
        yield Standing(made["InstanceId"], made["PrivateIpAddress"], host.public, key)
    finally:
        plant.client("ec2").terminate_instances(InstanceIds=[made["InstanceId"]])
