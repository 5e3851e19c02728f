"""The sandbox's EC2: the endpoint, what it is filled with, and the hypervisor that turns its instances into machines."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from maintainer.edges.clock import Clock
from maintainer.edges.compute.shapes import DIGEST
from maintainer.sandbox import cgroups, image, processes, snapshots
from maintainer.sandbox.image import Image
from maintainer.sandbox.machine import read_state
from maintainer.sandbox.provision import ACCOUNT, BUCKET, GATEWAY_ROLE, REGION, ROLE, root_client

NETWORK = "127.8.0.0/16"
"""Loopback, so that a machine's address is one that the hypervisor may listen on, and nobody else's."""
ZONES = {"us-east-1a": "127.8.1.0/24", "us-east-1b": "127.8.2.0/24"}
OUTSIDE = "127.8.3.0/24"
"""Of the subnet in which a builder may be."""
HERE = "127.0.0.0/24"
"""Where connections of this machine come from."""
GATEWAY = "127.9.0.1"
"""The elastic address: of loopback, too."""
GENTLY_S = 5
CHANGED = "changed"
"""The file, in a sandbox's directory, that EC2 touches whenever its instances may have changed."""


_SECTION = """\
[ec2]
endpoint = "{endpoint}"
region = "{region}"
profile = "controller"
credentials_file = "credentials"

[group.sandbox]
compute = "ec2"

[group.sandbox.instance]
image = "{image}"
image_digest = "{digest}"
instance_profile = "{role}"
subnets = {subnets}
security_groups = ["{group}"]
ssh_port = {port}
instance_connect_endpoint = "{connect}"

[group.sandbox.hosts]
location = "s3:{endpoint_s3}/{bucket}/hosts"
passwords = "ssm:/maintainer/sandbox"

# An append-only gateway, for hosts that hold no key: take the # away, then `maintainer gateway certify --profile admin` and `recycle`.
# [group.sandbox.gateway]
# address = "{gateway}"
# location = "s3:{endpoint_s3}/{bucket}/hosts"
# elastic_ip = "{allocation}"
# port = {gateway_port}
# certificate = "gateway.pem"
# image = "{image}"
# image_digest = "{digest}"
# instance_profile = "{gateway_role}"
# subnets = {subnets}
# security_groups = ["{gateway_group}"]
"""


_BUILDER = """\

[builder]
image = "{image}"
subnets = ["{subnet}"]
security_groups = ["{group}"]
ssh_port = {port}
instance_connect_endpoint = "{connect}"
"""


@dataclass(frozen=True, slots=True)
class Plant:
    """What there is to launch with. `ssh_port` is the one on which every machine answers; `images` is the cache's directory.

    The gateway's security group lets this machine in at `gateway_port`; `allocation` is of its elastic address, GATEWAY.
    `systemd` is the machines' PID 1 where they can have a control group.
    """

    ec2_endpoint: str
    endpoint: str
    ssh_port: int
    images: str
    image_id: str
    digest: str
    subnets: tuple[str, ...]
    security_group: str
    role: str
    systemd: bool
    gateway_port: int
    gateway_group: str = ""
    allocation: str = ""
    connect: str = ""
    """The id of an EC2 Instance Connect Endpoint: through it the controller follows its instances."""
    region: str = REGION
    stock: str = ""
    """Debian's own image, where a builder is wanted, and the subnet from which a way leads to a mirror."""
    outside: str = ""

    @classmethod
    def read(cls, directory: Path) -> Plant:
        """Read what `start` wrote."""
        raw = json.loads((directory / "plant.json").read_bytes())
        return cls(**{**raw, "subnets": tuple(raw["subnets"])})

    def section(self) -> str:
        """Return what a configuration says that launches here."""
        text = _SECTION.format(
            endpoint=self.ec2_endpoint,
            region=self.region,
            image=self.image_id,
            digest=self.digest,
            role=self.role,
            subnets=json.dumps(self.subnets),
            group=self.security_group,
            port=self.ssh_port,
            connect=self.connect,
            gateway=GATEWAY,
            endpoint_s3=self.endpoint,
            bucket=BUCKET,
            allocation=self.allocation,
            gateway_port=self.gateway_port,
            gateway_role=GATEWAY_ROLE,
            gateway_group=self.gateway_group,
        )
        if self.stock:
            text += _BUILDER.format(
                image=self.stock, subnet=self.outside, group=self.security_group, port=self.ssh_port, connect=self.connect
            )
        return text

    def client(self, service: str) -> Any:
        """Return a client, as root: of EC2's endpoint, or of the other where that service is."""
        return root_client(service, self.ec2_endpoint if service == "ec2" else self.endpoint)


def start(directory: Path, endpoint: str, built: Image, clock: Clock, *, systemd: bool, stock: Image | None = None) -> Plant:
    """Start EC2 with one image, two subnets and an instance profile, and then the hypervisor. `stock`: and what a builder needs."""
    amis = directory / "amis.json"
    amis.write_text(json.dumps([_ami(built), *([_stock_ami(stock)] if stock else [])]), encoding="utf-8")
    port = processes.free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "MOTO_AMIS_PATH": str(amis),
        "MOTO_ACCOUNT_ID": ACCOUNT,
    }
    log = directory / "ec2.log"
    pid = processes.start("maintainer.sandbox.ec2", [str(directory), str(port), endpoint], log, environment)
    address = f"http://127.0.0.1:{port}"
    processes.wait_until_healthy(f"{address}/moto-api/data.json", pid, clock, log)
    bare = Plant(
        address,
        endpoint,
        processes.free_port(),
        str(image.cache()),
        built.image_id,
        built.digest,
        (),
        "",
        ROLE,
        systemd,
        processes.free_port(),
    )
    made = _fill(replace(bare, stock=stock.image_id if stock else ""))
    image.seed(directory / "seed")
    (directory / "plant.json").write_text(json.dumps(asdict(made)), encoding="utf-8")
    start_hypervisor(directory)
    return made


def start_hypervisor(directory: Path) -> None:
    """Start the hypervisor, if it does not live."""
    if not processes.is_held(directory / "hypervisor.lock"):
        processes.start("maintainer.sandbox.hypervisor", [str(directory)], directory / "hypervisor.log")


def stop(directory: Path, clock: Clock) -> None:
    """End all of it, the machines too: nothing of them is left, whoever of these processes was dead already."""
    processes.end(directory / "hypervisor.lock", clock, 0)
    homes = list((directory / "machines").glob("*"))
    for home in homes:
        processes.signal_holder(home / "lock", signal.SIGKILL)
    for home in homes:
        processes.end(home / "lock", clock, 0)
        if (told := read_state(home)) is not None and told.group:
            cgroups.remove(Path(told.group))
        image.remove(home / "disk")
    processes.end(directory / "ec2.lock", clock, GENTLY_S)
    image.remove(directory / "seed")
    snapshots.remove(directory)


def _fill(bare: Plant) -> Plant:
    ec2 = bare.client("ec2")
    ec2.create_tags(Resources=[bare.image_id], Tags=[{"Key": DIGEST, "Value": bare.digest}])
    network = ec2.create_vpc(CidrBlock=NETWORK)["Vpc"]["VpcId"]
    subnets = tuple(
        ec2.create_subnet(VpcId=network, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"] for zone, block in ZONES.items()
    )
    # A subnet reaches S3 by its route table: one that a user makes beside these has no way to it, as on EC2.
    table = ec2.create_route_table(VpcId=network)["RouteTable"]["RouteTableId"]
    for subnet in subnets:
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    ec2.create_vpc_endpoint(VpcId=network, ServiceName=f"com.amazonaws.{bare.region}.s3", VpcEndpointType="Gateway", RouteTableIds=[table])
    group = ec2.create_security_group(VpcId=network, GroupName="maintainer", Description="maintenance instances")["GroupId"]
    # The host's side: loopback as a whole, as this machine's addresses are.
    front = ec2.create_security_group(VpcId=network, GroupName="maintainer-gateway", Description="the gateway")["GroupId"]
    port = {"IpProtocol": "tcp", "FromPort": bare.gateway_port, "ToPort": bare.gateway_port}
    ec2.authorize_security_group_ingress(GroupId=front, IpPermissions=[{**port, "IpRanges": [{"CidrIp": HERE}]}])
    allocation = ec2.allocate_address(Domain="vpc", Address=GATEWAY)["AllocationId"]
    connect = ec2.create_instance_connect_endpoint(SubnetId=subnets[0])["InstanceConnectEndpoint"]["InstanceConnectEndpointId"]
    outside = _way_out(ec2, network) if bare.stock else ""
    made = {
        "outside": outside,
        "subnets": subnets,
        "security_group": group,
        "gateway_group": front,
        "allocation": allocation,
        "connect": connect,
    }
    return Plant(**{**asdict(bare), **made})


def _way_out(ec2: Any, network: str) -> str:
    """Return a subnet from which a way leads to the internet."""
    subnet = str(ec2.create_subnet(VpcId=network, CidrBlock=OUTSIDE, AvailabilityZone=next(iter(ZONES)))["Subnet"]["SubnetId"])
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network)
    table = ec2.create_route_table(VpcId=network)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    return subnet


def _stock_ami(stock: Image) -> dict[str, Any]:
    return {**_ami(stock), "name": "debian-13-amd64", "description": "Debian 13", "owner_id": snapshots.DEBIAN, "public": True}


def _ami(built: Image) -> dict[str, Any]:
    return {
        "ami_id": built.image_id,
        "name": f"maintainer-{built.digest[:12]}",
        "description": "maintainer's image",
        "owner_id": ACCOUNT,
        "public": False,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/xvda",
        "root_device_type": "ebs",
        "sriov": "simple",
        "creation_date": "2025-01-01T00:00:00.000Z",
    }
