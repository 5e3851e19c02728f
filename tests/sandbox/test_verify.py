"""What an image's own check finds: nothing in the image as it is built, and each way in which it could be another."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from maintainer.sandbox import image, namespaces

ROOT = Path(__file__).parents[2]


def verify(tmp_path: Path, before: str) -> tuple[int, str]:
    """Do something to this checkout's image, and let it say what it is."""
    built = image.build(image.cache())
    image.prepare(tmp_path / "machine")
    given = tmp_path / "given"
    given.mkdir(mode=0o755)
    for name in ("provision.sh", "restic.lock"):
        shutil.copy(ROOT / "cloudinit" / name, given)
    base = Path(built.layers[-1]).name
    (given / "image.json").write_text(json.dumps({"image_id": built.image_id, "digest": built.digest, "base": base}) + "\n")
    environment, directories = image.surroundings(tmp_path / "machine", built.layers, "0", shared=given)
    with tempfile.TemporaryFile() as output:
        check = ["sh", "-c", f"{before}\nsh /mnt/provision.sh verify /mnt"]
        status = namespaces.spawn(["sh", "/proc/self/fd/10/enter", *check], environment, output.fileno(), directories).wait()
        output.seek(0)
        said = output.read().decode()
    for name in ("upper", "work"):
        image.remove(tmp_path / "machine" / name)
    return status, said


def test_an_image_as_it_is_built_is_what_it_should_be(tmp_path: Path) -> None:
    assert verify(tmp_path, ":")[0] == 0


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ("rm /etc/ssh/sshd_config.d/10-maintainer.conf", "sshd does not say: passwordauthentication no"),
        ("echo PermitRootLogin yes > /etc/ssh/sshd_config.d/00-first.conf", "sshd does not say: permitrootlogin no"),
        ("sed -i 's/^maintainer:[^:]*/maintainer:/' /etc/shadow", "a password, or none, opens maintainer"),
        ("ln -sf /bin/true /usr/bin/restic", "restic is not 0.18.0"),
        ("rm -r /opt/maintainer/lib/python3*/site-packages/botocore-*.dist-info", "its Python packages do not fit together"),
        ("rm /opt/maintainer/lib/python3*/site-packages/maintainer/agent/main.*", "the agent can not be started"),
        ("echo '{}' > /usr/lib/maintainer/image.json", "its digest is not the kit's"),
        ("touch /usr/bin/unattended-upgrade", "it upgrades itself"),
        ("rm /etc/systemd/system/apt-daily.timer", "apt-daily.timer is not masked"),
        ("sed -i s/package_upgrade:.*// /etc/cloud/cloud.cfg.d/99-maintainer.cfg", "cloud-init is not told: package_upgrade: false"),
    ],
)
def test_what_is_otherwise_is_named(tmp_path: Path, before: str, why: str) -> None:
    status, said = verify(tmp_path, before)
    assert (status, f"this image is not what it should be: {why}" in said) == (1, True), said
