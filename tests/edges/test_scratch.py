"""Directories for a while: gone with their process, or with the next one that makes one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from maintainer.edges.scratch import Scratch

HOLDER = """
import sys
from maintainer.edges.scratch import Scratch
held = Scratch()
(held.path / "file").write_bytes(b"x")
print(held.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_it_goes_with_its_owner_and_only_we_can_read_it(folder: Path) -> None:
    one, other = Scratch(), Scratch()
    assert {one.path, other.path} == set(folder.iterdir())
    assert one.path.stat().st_mode & 0o777 == 0o700
    one.close()
    one.close()
    del other
    assert list(folder.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next_and_what_a_living_one_has_stays() -> None:
    killed, living = (
        subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    assert killed.stdout is not None
    assert living.stdout is not None
    left, held = Path(killed.stdout.readline().strip()), Path(living.stdout.readline().strip())
    killed.kill()
    killed.communicate()
    assert (left / "file").exists()
    ours = Scratch()
    assert not left.exists()
    assert (held / "file").exists()
    living.communicate()
    assert not held.exists()
    ours.close()
