"""The image: built by the one provisioning script, named by what went in, hardened, and complete."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from maintainer.cli.main import main
from maintainer.core.errors import SandboxError
from maintainer.sandbox import image, namespaces


@pytest.fixture(scope="module")
def built() -> image.Image:
    return image.build(image.cache())


def inside(built: image.Image, tmp_path: Path, script: str) -> str:
    """Run a script as root of a machine of this image, that has no network."""
    state = tmp_path / "machine"
    image.prepare(state)
    environment, directories = image.surroundings(state, built.layers, "00000000-0000-4000-8000-000000000000")
    with tempfile.TemporaryFile() as output:
        status = namespaces.spawn(["sh", "/proc/self/fd/10/enter", "sh", "-euc", script], environment, output.fileno(), directories).wait()
        output.seek(0)
        text = output.read().decode()
    assert status == 0, text
    return text


def test_build_prints_id_and_digest_and_list_shows_it_first(built: image.Image, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "build", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["image_id"], printed["digest"]) == (built.image_id, built.digest)
    assert re.fullmatch(r"ami-[0-9a-f]{17}", built.image_id)
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{built.image_id}  sha256:{built.digest}"


def test_a_kit_holds_what_another_debian_is_provisioned_from(built: image.Image, tmp_path: Path) -> None:
    assert image.kit(tmp_path / "kit") == built.digest
    given = {path.name for path in (tmp_path / "kit").iterdir()}
    assert given == {"image.json", "provision.sh", "requirements.lock", "restic.lock", "wheels"}
    wheels = {path.name.partition("-")[0].lower() for path in (tmp_path / "kit/wheels").iterdir()}
    assert {"maintainer", "boto3", "cryptography", "pydantic_core"} <= wheels
    with pytest.raises(SandboxError, match="File exists"):
        image.kit(tmp_path / "kit")


def test_it_holds_restic_and_this_maintainer_and_knows_its_digest(built: image.Image, tmp_path: Path) -> None:
    script = "restic version; /opt/maintainer/bin/maintainer --version; cat /usr/lib/maintainer/image.json"
    restic, maintainer, known = inside(built, tmp_path, script).splitlines()
    assert tuple(int(part) for part in restic.split()[1].split(".")) >= (0, 18)
    assert maintainer == f"maintainer {version('maintainer')}"
    assert json.loads(known)["digest"] == built.digest


def test_no_password_opens_it_nothing_upgrades_it_and_no_two_machines_share_an_identity(built: image.Image, tmp_path: Path) -> None:
    script = """
        mkdir -p /run/sshd; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; /usr/sbin/sshd -T
        grep -c '^[^:]*:[^!*]' /etc/shadow || true
        readlink /etc/systemd/system/apt-daily.timer /etc/systemd/system/apt-daily-upgrade.timer
        stat -c %s /etc/machine-id
    """
    lines = inside(built, tmp_path, script).splitlines()
    assert {"passwordauthentication no", "permitrootlogin no", "allowusers maintainer", "disableforwarding yes"} <= set(lines)
    assert lines[-4:] == ["0", "/dev/null", "/dev/null", "0"]


def test_root_inside_is_nobody_outside(built: image.Image, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    maps, host = inside(built, tmp_path, f"cat /proc/self/uid_map | head -1; ls {secret} 2>&1 || true; date -s +1day 2>&1 || true").split(
        "\n", 1
    )
    assert maps.split()[1] != "0"
    assert "No such file" in host
    assert "Operation not permitted" in host


def test_another_source_is_another_image_on_the_same_base(built: image.Image, tmp_path: Path) -> None:
    source = tmp_path / "checkout"
    for name in ("maintainer", "cloudinit"):
        shutil.copytree(image.checkout() / name, source / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(image.checkout() / name, source)
    with (source / "maintainer/__init__.py").open("a") as file:
        file.write("\n# changed\n")
    other = image.build(image.cache(), source)
    try:
        assert other.digest != built.digest
        assert other.layers[1:] == built.layers[1:]
    finally:
        shutil.rmtree(image.cache() / other.image_id)


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((image.checkout() / "pyproject.toml").read_text())["project"]
    wanted = {re.match(r"[a-z0-9-]+", one)[0] for one in project["dependencies"]}  # type: ignore[index]
    locked = set(re.findall(r"^([a-z0-9-]+)==", (image.checkout() / "cloudinit/requirements.lock").read_text(), re.MULTILINE))
    assert wanted <= locked, "run script/lock"


def test_a_machine_without_mmdebstrap_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["image", "build"]) == 2
    assert "apt-get install mmdebstrap" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "cache/maintainer/images").iterdir()] == ["lock"]
