"""Terraform for the tests: what is installed, else HashiCorp's release by its pinned digest, else a line that says what is not run."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.files import serving_files

SCRIPTS = Path(__file__).parents[2] / "script"
MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), "")
NAME = f"terraform_1.11.4_linux_{MACHINE}.zip"
PROGRAM = '#!/bin/sh\n[ "$1" != version ] || echo \'{"terraform_version": "1.11.4"}\'\n'


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[str]:
    """A server with one release, whose digest the scripts' copy pins."""
    place = tmp_path / "releases" / "1.11.4"
    place.mkdir(parents=True)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("terraform", PROGRAM)
    (place / NAME).write_bytes(packed.getvalue())
    shutil.copytree(SCRIPTS, tmp_path / "script")
    pin(tmp_path, hashlib.sha256(packed.getvalue()).hexdigest())
    (tmp_path / "terraform/modules/state").mkdir(parents=True)
    (tmp_path / "terraform/modules/state/versions.tf").touch()
    (tmp_path / "prefix/bin").mkdir(parents=True)
    with serving_files(place.parent) as address:
        yield address


def pin(root: Path, digest: str) -> None:
    (root / "script/terraform.sha256").write_text(f"{digest}  {NAME}\n")


def call(root: Path, releases: str) -> subprocess.CompletedProcess[str]:
    """Call the script where no Terraform is installed."""
    tools = root / "tools"
    tools.mkdir(exist_ok=True)
    for name in (
        "bash",
        "sh",
        "env",
        "python3",
        "dirname",
        "realpath",
        "printf",
        "sort",
        "find",
        "mkdir",
        "mv",
        "mktemp",
        "rm",
        "cp",
        "grep",
    ):
        link = tools / name
        if not link.exists() and (found := shutil.which(name)):
            link.symlink_to(found)
    environment = {**os.environ, "PATH": str(tools), "TERRAFORM_RELEASES": releases}
    return subprocess.run([root / "script/terraform-config", root / "prefix"], env=environment, capture_output=True, text=True, check=False)


def test_a_release_with_the_pinned_digest_is_fetched_once(tmp_path: Path, releases: str) -> None:
    assert call(tmp_path, releases).returncode == 0
    assert (tmp_path / "prefix/bin/terraform").read_text() == PROGRAM
    assert (tmp_path / "prefix/terraform.rc").exists()
    assert call(tmp_path, "http://127.0.0.1:1").returncode == 0


def test_another_digest_is_refused(tmp_path: Path, releases: str) -> None:
    pin(tmp_path, "0" * 64)
    done = call(tmp_path, releases)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"pinned is {'0' * 64}" in done.stderr
    assert not (tmp_path / "prefix/bin/terraform").exists()


def test_where_nothing_answers_one_line_says_why(tmp_path: Path, releases: str) -> None:
    done = call(tmp_path, "http://127.0.0.1:1")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no Terraform 1.11 or newer (found: none)" in done.stderr
    assert "Connection refused" in done.stderr
