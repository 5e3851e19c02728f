"""`maintainer image build | list | kit`: what the sandbox's machines boot from, and EC2's; and the controller's container image."""

from __future__ import annotations

import argparse
import json
import tarfile
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from maintainer.cli import common, compute
from maintainer.cli.commands import declare
from maintainer.cli.output import event_printer, say
from maintainer.core.errors import ConfigurationError, ExitCode, Problem
from maintainer.core.images import old
from maintainer.core.moments import to_text
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.statestore import new_run_id
from maintainer.sandbox import image, oci
from maintainer.settings.load import Settings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "image")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    helps = {
        "build": "build the sandbox's image of this checkout, or find it in the cache; prints its id and digest",
        "list": "list the images in the cache, the newest first",
    }
    made = {name: actions.add_parser(name, help=text) for name, text in helps.items()}
    text = "instead write the controller's container image of this checkout to an OCI archive; prints its digest"
    made["build"].add_argument("--oci", type=Path, metavar="FILE", help=text)
    text = "instead make the image in EC2, on an instance that [builder] describes; prints its id and digest"
    made["build"].add_argument("--ec2", action="store_true", help=text)
    again = "with --ec2: make it also where an image of this checkout is there already, such as for Debian's own updates"
    made["build"].add_argument("--again", action="store_true", help=again)
    made["build"].add_argument("--profile", metavar="NAME", help="the AWS profile that may make images (default: what [ec2] says)")
    common.add_config(made["build"])
    text = "instead list the account's images in EC2, who pins them, and which may be removed"
    made["list"].add_argument("--ec2", action="store_true", help=text)
    common.add_config(made["list"])
    text = "fill a directory with all that provision.sh takes on an instance of Debian 13, to make EC2's image of it; prints the digest"
    kit = actions.add_parser("kit", help=text)
    kit.add_argument("directory", type=Path, metavar="DIRECTORY", help="where to; it is made if it is not there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    if arguments.action == "build" and arguments.oci is not None:
        digest = oci.build(arguments.oci)
        say(json.dumps({"archive": str(arguments.oci), "digest": digest}, indent=2) if arguments.json else digest)
        return ExitCode.COMMITTED
    if arguments.action == "build" and arguments.ec2:
        return _build_in_ec2(arguments)
    if arguments.action == "build":
        made = image.build(image.cache())
        say(json.dumps(asdict(made), indent=2) if arguments.json else _line(made))
        return ExitCode.COMMITTED
    if arguments.action == "kit":
        say(image.kit(arguments.directory))
        return ExitCode.COMMITTED
    if arguments.ec2:
        return _list_in_ec2(common.settings(arguments), as_json=arguments.json)
    found = image.built(image.cache())
    if arguments.json:
        say(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            say(_line(one))
        if not found:
            say("no image was built yet: maintainer image build")
    return ExitCode.COMMITTED


def _line(one: image.Image) -> str:
    return f"{one.image_id}  sha256:{one.digest}"


def _build_in_ec2(arguments: argparse.Namespace) -> int:
    """Make this checkout's image in the account, or find it there; print it, and what is to be pinned."""
    from maintainer.controller import builder  # noqa: PLC0415 - with EC2, a third of a second that nothing else here need wait
    from maintainer.edges.compute import images  # noqa: PLC0415 - as above

    chosen = common.settings(arguments)
    section = chosen.builder
    if section is None:
        do = "add it: terraform/modules/image/README.md shows one"
        raise ConfigurationError((Problem("[builder]", "no such section", "image and subnets", do),))
    clock = SystemClock()
    run_id = new_run_id(to_text(clock.now()))
    recorder = Recorder(run_id, "controller", clock, event_printer(as_json=arguments.json))
    ec2 = compute.ec2(chosen, recorder, profile=arguments.profile)
    machine = images.architecture(ec2, section.image)
    digest = image.digest()
    known = () if arguments.again else images.find(ec2, compute.owner(chosen))
    there = [one.id for one in known if (one.digest, one.machine) == (digest, machine)]
    made = there[0] if there else builder.build(compute.builder(chosen, section), _kit(machine), digest, run_id, ec2, clock, recorder)
    if arguments.json:
        say(json.dumps({"image_id": made, "digest": digest, "is_new": not there}))
        return ExitCode.COMMITTED
    say(f"{made}  sha256:{digest}" + ("  was there already" if there else ""))
    say(f'pin it: image = "{made}"   image_digest = "{digest}"; then `maintainer image list --ec2` names what is old')
    return ExitCode.COMMITTED


def _kit(machine: str) -> bytes:
    """Return all that provision.sh takes for this checkout's image, as a compressed tar."""
    with TemporaryDirectory(prefix="maintainer-") as folder:
        kit, packed = Path(folder) / "kit", Path(folder) / "kit.tgz"
        image.kit(kit, machine)
        with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
            tar.add(kit, ".", filter=_as_root)
        return packed.read_bytes()


def _as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who packed it."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _list_in_ec2(chosen: Settings, *, as_json: bool) -> int:
    """Print the account's own images, and of those that nobody pins how they are removed."""
    from maintainer.edges.compute import images  # noqa: PLC0415 - with EC2, a third of a second that nothing else here need wait

    recorder = Recorder("image", "controller", SystemClock(), lambda _: None)
    pinned = _pinned(chosen)
    found = images.find(compute.ec2(chosen, recorder), compute.owner(chosen))
    unneeded = old(found, pinned)
    told = [{**asdict(one), "pinned_by": pinned.get(one.id, []), "old": one.id in unneeded} for one in found]
    if as_json:
        say(json.dumps(told, indent=2))
        return ExitCode.COMMITTED
    for one in told:
        say(f"{one['id']}  {str(one['made'])[:10]}  {one['architecture']}  sha256:{one['digest']}  {_why(one)}")
        if one["old"]:
            say(f"    → aws ec2 deregister-image --delete-associated-snapshots --image-id {one['id']}")
    if not told:
        say("no image of this account and region carries maintainer:digest")
    return ExitCode.COMMITTED


def _why(one: dict[str, Any]) -> str:
    if one["pinned_by"]:
        return f"pinned by {', '.join(one['pinned_by'])}"
    return f"not pinned, and {', '.join(one['used_by'])} still runs from it" if one["used_by"] else "not pinned by this configuration"


def _pinned(chosen: Settings) -> dict[str, list[str]]:
    """Return who pins which image: groups, and gateways."""
    found: dict[str, list[str]] = {}
    for group in chosen.groups:
        for name, section in ((group.name, group.instance), (f"the gateway of {group.name}", group.gateway)):
            for pin in (section, *section.also) if section else ():
                found.setdefault(pin.image, []).append(name)
    return found
