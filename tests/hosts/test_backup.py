"""A host's own script: what restic could not do it does once more, and how a backup ended it says as restic did."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.hostscripts import backs_up
from tests.support.repositories import Repository

ENDS = 'echo called >> "$0.calls"; [ "$(wc -l < "$0.calls")" = {bad} ] && exit {status}; exec "$RESTIC" "$@"'
"""One call, by its number, ends with a status, and all others are the real restic's."""


@pytest.fixture
def repository(sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(sandbox, f"b-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


@pytest.mark.parametrize(
    ("status", "code", "calls"),
    [(0, 0, 1), (1, 0, 2), (3, 3, 1), (10, 10, 1), (11, 11, 1), (12, 12, 1), (130, 130, 1)],
)
def test_a_backup_that_failed_is_made_once_more_and_no_other(
    repository: Repository, tmp_path: Path, status: int, code: int, calls: int
) -> None:
    repository.write("file", 1000, 1)
    done = backs_up(repository, tmp_path, ENDS.format(bad=1 if status else 0, status=status))
    assert done.returncode == code, done.stderr
    assert (tmp_path / "bin/restic.calls").read_text().count("called") == calls
    assert ("once more" in done.stderr) == (calls == 2)
    assert len(repository.objects("snapshots/")) == (1 if code == 0 else 0)


def test_one_that_fails_twice_has_failed(repository: Repository, tmp_path: Path) -> None:
    done = backs_up(repository, tmp_path, "exit 1")
    assert done.returncode == 1
