"""A secret's file is its owner's alone from before its first byte, whatever was there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from maintainer.core.errors import SecretError
from maintainer.core.job import Access
from maintainer.edges import secrets


@pytest.mark.parametrize("before", [None, 0o644, 0o600, 0o777])
def test_a_file_that_others_could_read_is_replaced_and_not_written_to(tmp_path: Path, before: int | None) -> None:
    path = tmp_path / "password"
    if before is not None:
        path.write_text("old\n")
        path.chmod(before)
    reader = os.open(path, os.O_RDONLY) if before is not None else None
    secrets.write(f"file:{path}", "new", Access())
    assert path.read_text() == "new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["password"]
    if reader is not None:  # who had it open before sees what it held
        assert os.read(reader, 100) == b"old\n"
        os.close(reader)


def test_through_a_link_the_file_that_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    secrets.write(f"file:{tmp_path}/link", "new", Access())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new\n"


def test_a_folder_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretError, match="can not be written"):
        secrets.write(f"file:{tmp_path}/file/password", "new", Access())
