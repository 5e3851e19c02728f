"""The controller's container image: one that skopeo takes, whose program runs as nobody's root and writes nothing below its root."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from maintainer.cli.main import main
from maintainer.sandbox import image, namespaces
from tests.support.instances import COMMAND

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place that all workers of a run share: it is built once."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "oci"
    folder.mkdir(exist_ok=True)
    return folder / "controller.tar"


@pytest.fixture(scope="module")
def digest(archive: Path) -> str:
    said = archive.with_name("said.json")
    with archive.with_name("lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            done = subprocess.run([COMMAND, "image", "build", "--oci", archive, "--json"], capture_output=True, text=True, check=True)
            said.write_text(done.stdout)
    told = json.loads(said.read_text())
    assert told["archive"] == str(archive)
    return str(told["digest"])


@pytest.fixture(scope="module")
def root(archive: Path, digest: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Unpack its one layer, as a container engine does."""
    with tarfile.open(archive) as opened:
        manifest = json.load(opened.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}"))  # type: ignore[arg-type]
        (layer,) = manifest["layers"]
        body = opened.extractfile(f"blobs/{layer['digest'].replace(':', '/')}")
        assert body is not None
        folder = tmp_path_factory.mktemp("root")
        folder.chmod(0o755)
        (folder / "layer").write_bytes(body.read())
    image.prepare(folder / "state")
    made = folder / "state/root"
    run([made, folder], "tar", "-C", "/proc/self/fd/10", "-xzpf", "/proc/self/fd/11/layer", "--numeric-owner", "--exclude=./dev/*")
    yield made
    image.remove(folder / "state")


def run(directories: list[Path], *argv: str, status: int = 0, **environment: str) -> str:
    with tempfile.TemporaryFile() as output:
        surroundings = {"PATH": f"/opt/maintainer/bin:{image.PATH}", **environment}
        ended = namespaces.spawn(list(argv), surroundings, output.fileno(), directories).wait()
        output.seek(0)
        said = output.read().decode()
    assert ended == status, said
    return said


def controller(root: Path, *argv: str, status: int = 0, **environment: str) -> str:
    """Call it as its configuration says: uid 1000, `maintainer` first."""
    return run([root], "chroot", "--userspec=1000:1000", "/proc/self/fd/10", "maintainer", *argv, status=status, **environment)


def test_skopeo_takes_it_whole_by_the_digest_that_was_printed(archive: Path, digest: str, tmp_path: Path) -> None:
    def skopeo(*words: str) -> str:
        return subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, text=True, check=True).stdout

    told = json.loads(skopeo("inspect", f"oci-archive:{archive}"))
    assert (told["Digest"], told["Os"]) == (digest, "linux")
    assert told["Labels"]["org.opencontainers.image.version"] == version("maintainer")
    config = json.loads(skopeo("inspect", "--config", f"oci-archive:{archive}"))["config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("1000", ["maintainer"], ["run", "--once", "--json"])
    skopeo(
        "copy", f"oci-archive:{archive}", f"docker-archive:{tmp_path}/docker.tar:maintainer:1"
    )  # what docker load takes; checks every digest


def test_its_program_is_this_one_and_needs_nothing_that_the_image_lacks(root: Path) -> None:
    assert controller(root, "--version") == f"maintainer {version('maintainer')}\n"
    told = controller(root, "run", "--once", status=2, MAINTAINER_TOML='[group.a]\ncompute = "ec2"\n')
    assert "no [group.a.instance]" in told
    assert "Traceback" not in told


def test_everything_is_compiled_and_nothing_of_the_build_is_left(root: Path) -> None:
    package = next((root / "opt/maintainer/lib").glob("python3*/site-packages/maintainer"))
    assert {path.stem for path in package.glob("*.py")} <= {path.name.partition(".")[0] for path in (package / "__pycache__").iterdir()}
    assert not (root / "srv/given").exists()
    assert not list((root / "var/lib/apt/lists").glob("*_*"))


@pytest.mark.parametrize("target", ["nowhere/x.tar", "."])
def test_a_place_that_can_not_be_written_is_named(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["image", "build", "--oci", str(tmp_path / target)]) == 2
    assert "can not be written" in capsys.readouterr().err
