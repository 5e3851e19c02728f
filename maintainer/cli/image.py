"""`maintainer image build | list | kit`: what the sandbox's machines boot from, and instances; and the controller's container image."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from maintainer.cli.output import say
from maintainer.core.errors import ExitCode
from maintainer.sandbox import image, oci


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("image", help="the image that an instance boots from")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    helps = {
        "build": "build the sandbox's image of this checkout, or find it in the cache; prints its id and digest",
        "list": "list the images in the cache, the newest first",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("--json", action="store_true", help="print JSON")
        if name == "build":
            oci_text = "instead write the controller's container image of this checkout to an OCI archive; prints its digest"
            action.add_argument("--oci", type=Path, metavar="FILE", help=oci_text)
    text = "fill a directory with all that provision.sh takes on an instance of Debian 13, to make EC2's image of it; prints the digest"
    actions.add_parser("kit", help=text).add_argument("directory", type=Path, metavar="DIRECTORY")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    if arguments.action == "build" and arguments.oci is not None:
        digest = oci.build(arguments.oci)
        say(json.dumps({"archive": str(arguments.oci), "digest": digest}, indent=2) if arguments.json else digest)
        return ExitCode.COMMITTED
    if arguments.action == "build":
        made = image.build(image.cache())
        say(json.dumps(asdict(made), indent=2) if arguments.json else _line(made))
        return ExitCode.COMMITTED
    if arguments.action == "kit":
        say(image.kit(arguments.directory))
        return ExitCode.COMMITTED
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
