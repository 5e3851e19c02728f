"""From a group's section to the compute that its agents run on; each but this machine is loaded where one needs it: a third of a second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial
from typing import TYPE_CHECKING

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.edges.clock import SystemClock
from maintainer.edges.compute import Compute
from maintainer.edges.compute.local import LocalCompute
from maintainer.edges.compute.shapes import Pinned, Shape
from maintainer.edges.log import Recorder
from maintainer.settings.load import Settings
from maintainer.settings.models import BuilderSection, GroupSection, LaunchSection

if TYPE_CHECKING:
    from maintainer.controller.builder import Builder
    from maintainer.edges.compute.dropletcompute import DropletCompute
    from maintainer.edges.compute.droplets import Droplets
    from maintainer.edges.compute.ec2 import Ec2
    from maintainer.edges.compute.sshcompute import SshCompute
    from maintainer.edges.ssh import KeyPair


def of(chosen: Settings, group: GroupSection, reach: Callable[[], Ec2], recorder: Recorder) -> Compute:
    """Return a group's compute, whose EC2 is what `reach` gives. An instance lives by the real time, whatever a sandbox's clock says."""
    wanted = group.instance
    if group.compute == "ssh":
        return standing(chosen, group, recorder)
    if group.compute == "digitalocean":
        return droplets(chosen, group, recorder)
    if group.compute == "local" or wanted is None:
        return LocalCompute()
    from maintainer.edges.compute.ec2compute import Ec2Compute, Way  # noqa: PLC0415 - a third of a second that no local run need wait

    way = Way(owner(chosen), group.name, wanted.ssh_port, wanted.limit, wanted.try_for, wanted.run_budget, wanted.instance_connect_endpoint)
    return Ec2Compute(reach(), shape(wanted), way, recorder, SystemClock())


def standing(chosen: Settings, group: GroupSection, recorder: Recorder) -> SshCompute:
    """Return the compute of a group whose machine is there already."""
    from maintainer.edges import secrets, ssh  # noqa: PLC0415 - as above
    from maintainer.edges.compute.sshcompute import SshCompute, Standing  # noqa: PLC0415 - as above

    wanted = group.machine
    if wanted is None:
        raise ValueError(f"group {group.name} has no machine")

    @cache
    def login() -> KeyPair:
        try:
            return ssh.read_key(secrets.read(wanted.key, chosen.access()))
        except ValueError:  # whose text may quote the key
            do = "make one: ssh-keygen -t ed25519 -N '' -f KEY; its public half is for authorized_keys there"
            problem = Problem(
                f"group.{group.name}.machine.key", "what is no such key", "an ed25519 key of OpenSSH without a passphrase", do
            )
            raise ConfigurationError((problem,)) from None

    where = {name: getattr(wanted, name) for name in ("address", "port", "user", "host_key", "limit", "profile", "restic")}
    return SshCompute(Standing(owner(chosen), group.name, patience=wanted.try_for, **where), login, recorder, SystemClock())


def droplets(chosen: Settings, group: GroupSection, recorder: Recorder) -> DropletCompute:
    """Return the compute of a group whose machines are droplets."""
    from maintainer.edges import secrets  # noqa: PLC0415 - as above
    from maintainer.edges.compute.dropletcompute import DropletCompute, DropletWay  # noqa: PLC0415 - as above
    from maintainer.edges.compute.droplets import DropletShape  # noqa: PLC0415 - as above

    wanted = group.droplet
    if wanted is None:
        raise ValueError(f"group {group.name} has no droplet")
    what = DropletShape(wanted.image, wanted.image_digest, wanted.sizes, wanted.regions, wanted.vpc, wanted.network)
    way = DropletWay(owner(chosen), group.name, wanted.ssh_port, wanted.limit, wanted.try_for, wanted.run_budget)
    read = partial(secrets.read, wanted.credentials, chosen.access())
    return DropletCompute(digitalocean(chosen, recorder), what, way, read, recorder, SystemClock())


def digitalocean(chosen: Settings, recorder: Recorder) -> Droplets:
    """Return DigitalOcean as this configuration reaches it."""
    from maintainer.edges import secrets  # noqa: PLC0415 - as above
    from maintainer.edges.compute.droplets import Droplets  # noqa: PLC0415 - as above

    account = chosen.digitalocean
    if account is None:
        raise ValueError("no account of DigitalOcean is configured")
    return Droplets(partial(secrets.read, account.token, chosen.access()), SystemClock(), recorder.retried, account.endpoint)


def shape(wanted: LaunchSection) -> Shape:
    """Return what is launched."""
    return Shape(
        images=(
            Pinned(wanted.image, wanted.image_digest, wanted.types),
            *(Pinned(one.image, one.image_digest, one.types) for one in wanted.also),
        ),
        instance_profile=wanted.instance_profile,
        subnets=wanted.subnets,
        security_groups=wanted.security_groups,
        market=wanted.market,
        by_fleet=wanted.launch == "fleet",
        disk_gib=wanted.disk_gib,
        launch_template=wanted.launch_template,
        max_price=f"{Decimal(str(wanted.max_price)):f}" if wanted.max_price else "",
    )


def ec2(chosen: Settings, recorder: Recorder, region: str = "", profile: str | None = None) -> Ec2:
    """Return EC2 as this configuration reaches it, in its own region or another, and by its own profile or another."""
    from maintainer.edges.compute.ec2 import Ec2  # noqa: PLC0415 - a third of a second that no local run need wait

    access = chosen.ec2_access(region)
    return Ec2(access if profile is None else replace(access, profile=profile), SystemClock(), recorder.retried)


def builder(chosen: Settings, wanted: BuilderSection) -> Builder:
    """Return what makes an image. Not on the spot market: a spot instance can not be stopped to make an image of it."""
    from maintainer.controller.builder import Builder  # noqa: PLC0415 - as above

    what = Shape(
        images=(Pinned(wanted.image, "", wanted.types),),
        instance_profile="",
        subnets=wanted.subnets,
        security_groups=wanted.security_groups,
        market=("on-demand",),
        by_fleet=False,
        disk_gib=wanted.disk_gib,
        public=wanted.public,
    )
    return Builder(what, owner(chosen), wanted.user, wanted.ssh_port, wanted.limit, wanted.instance_connect_endpoint)


def owner(chosen: Settings) -> str:
    """Return whose instances this configuration's are, as a tag's value: two with one state store are one owner."""
    return str(chosen.state_place())[-256:]
