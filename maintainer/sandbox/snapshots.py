"""The sandbox's other images: Debian's own, for a builder to start from, and those that are made of a stopped machine."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import Clock
from maintainer.sandbox import image, processes
from maintainer.sandbox.image import Image

DEBIAN = "136693071363"
"""The account that Debian publishes its images from (Debian wiki, "Cloud/AmazonEC2Image")."""
PACKAGES = "ca-certificates,cloud-init,iproute2,netcat-openbsd,openssh-server,procps,sudo,systemd"
MADE = "images"
"""The folder, in a sandbox's directory, of images that were made of machines."""
STOCK = "stock"
POWERED_OFF_WITHIN_S = 60.0
TURN_S = 0.1


def stock(folder: Path) -> Image:
    """Build Debian's own image, or return it from a cache. SandboxError where the machine lacks something, or a step fails."""
    script = image.GUEST / "stock"
    name = hashlib.sha256(f"{image.SUITE} {PACKAGES}\n".encode() + script.read_bytes()).hexdigest()[:17]
    made = folder / STOCK / f"ami-{name}"
    if not made.exists():
        if shutil.which("mmdebstrap") is None:
            raise SandboxError("mmdebstrap is not installed", guidance="apt-get install mmdebstrap uidmap")
        made.parent.mkdir(parents=True, exist_ok=True)
        with image.work_below(made.parent) as work:
            given, state = work / "given", work / "state"
            given.mkdir()
            shutil.copy(script, given)
            image.bootstrap(work, given, 'chroot "$1" sh /srv/given/stock', work / "base.tar", f"--include={PACKAGES}")
            state.mkdir(mode=0o755)
            image.unpack(work, work / "base.tar", state / "upper")
            (state / "image.json").write_text(json.dumps({"digest": "", "below": []}) + "\n", encoding="utf-8")
            state.rename(made)
    return _read(made)


def find(directory: Path, folder: Path, image_id: str) -> Image | None:
    """Return an image of a sandbox, or of the cache, whichever has it."""
    for place in (directory / MADE, folder / STOCK):
        if (place / image_id / "image.json").exists():
            return _read(place / image_id)
    return next((one for one in image.built(folder) if one.image_id == image_id), None)


def make(directory: Path, instance: str, image_id: str, clock: Clock) -> None:
    """Make an image of a machine that is being stopped: what it wrote becomes the topmost layer, over those that it was started from.

    The machine can not be started again, unlike EC2's. SandboxError where it does not power off.
    """
    home = directory / "machines" / instance
    until = clock.monotonic() + POWERED_OFF_WITHIN_S
    while processes.is_held(home / "lock"):
        if clock.monotonic() > until:
            raise SandboxError(f"{instance} does not power off", guidance=f"see {home}/console.log")
        clock.sleep(TURN_S)
    below = json.loads((home / "specification.json").read_bytes())["layers"]
    made = directory / MADE / image_id
    made.mkdir(parents=True)
    (home / "disk/upper").rename(made / "upper")
    new = made / "image.new"
    new.write_text(json.dumps({"digest": "", "below": below}) + "\n", encoding="utf-8")
    new.rename(made / "image.json")


def remove(directory: Path) -> None:
    """Remove all that were made of machines."""
    image.remove(directory / MADE)


def _read(made: Path) -> Image:
    said = json.loads((made / "image.json").read_bytes())
    return Image(made.name, said["digest"], (str(made / "upper"), *said["below"]))
