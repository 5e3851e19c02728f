"""Attack 23, and honest backups that are in flight while runs come and go: they are whole in the end, and nobody is alarmed for nothing."""

from __future__ import annotations

import json
import random
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.edges.s3 import S3
from maintainer.edges.versionlist import Page, Row, write_lines
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.patience import until
from tests.support.repositories import RESTIC, Repository

RESTIC_COMMAND = (RESTIC, "--no-cache", "-o", "s3.bucket-lookup=path")


@pytest.mark.long
@pytest.mark.matrix
@pytest.mark.parametrize("locks", ["its locks stay", "its locks are deleted"])
def test_a_real_backup_that_lasts_three_weeks_is_whole(timed_sandbox: Sandbox, tmp_path: Path, locks: str) -> None:
    """It relies on data that is forgotten, pruned and marked meanwhile, and so are the packs that it puts itself."""
    repository = Repository(timed_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    old, *new = (random.Random(seed).randbytes(14 << 20) for seed in range(4))
    repository.write("stays", 16 << 20, 7)
    (repository.source / "old").write_bytes(old)
    repository.backup(good=False)
    (repository.source / "old").unlink()
    repository.write("file", 50_000, 9)
    repository.backup()
    maintained = Maintained(repository, Keep(last=1))
    maintained.expect_host()
    assert maintained.run().code == 0
    relied_on = set(repository.objects("data/"))
    command = [*RESTIC_COMMAND, "-r", repository.location, "backup", "--json", "--pack-size", "4", "--stdin", "--stdin-filename", "dump"]
    told = repository.root / "told"
    with told.open("wb") as output, subprocess.Popen(command, env=repository.environment(), stdin=subprocess.PIPE, stdout=output) as backup:
        assert backup.stdin is not None
        backup.stdin.write(old)
        for day, content in zip((15, 19, 23), new, strict=True):
            before = set(repository.objects("data/"))
            backup.stdin.write(content)
            backup.stdin.flush()
            until(lambda: bool(set(repository.objects("data/")) - before))  # noqa: B023 - asked at once
            if locks == "its locks are deleted":
                for lock in repository.objects("locks/"):
                    repository.hide(lock)
            maintained.pass_days(day)
            ran = maintained.run()
            assert ran.code in (0, 3), ran.why()
        assert relied_on - set(repository.objects("data/"))  # marked by now
        backup.stdin.close()
        assert backup.wait() == 0
    snapshot = json.loads(told.read_bytes().splitlines()[-1])["snapshot_id"]
    ran = maintained.run()
    assert ran.named("object.taken_back"), ran.why()
    assert not ran.named("snapshot.incomplete")
    for day in (31, 39, 60):
        maintained.pass_days(day)
        assert maintained.run().code in (0, 3)
    repository.restic("check", "--no-lock", "--read-data")
    repository.restic("restore", "--no-lock", snapshot, "--target", str(tmp_path / "dumped"))
    assert (tmp_path / "dumped/dump").read_bytes() == b"".join((old, *new))
    repository.verify(list(repository.trees)[-1])


def test_a_backup_that_ends_while_the_bucket_is_listed_alarms_nobody(maintained: Maintained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listing goes by key and takes its time: packs are listed first, and the snapshot that needs newer ones last."""
    repository = maintained.repository
    listed = S3.page

    seen: list[Row] = []

    def in_pages(s3: S3, bucket: str, prefix: str, key_marker: str = "", version_id_marker: str = "") -> Page:
        page = listed(s3, bucket, prefix, key_marker, version_id_marker)
        if prefix != f"{repository.prefix}/":
            return page
        if not seen:
            seen.extend(row for row in page.rows if row[0] < f"{prefix}index/".encode())
            repository.write("file2", 100_000, 2)
            repository.backup()
            return Page(seen, write_lines(seen), is_truncated=True, next_key=f"{prefix}data/~")
        rows = [row for row in page.rows if row in seen or row[0] >= f"{prefix}index/".encode()]
        return replace(page, rows=rows, lines=write_lines(rows))

    monkeypatch.setattr(S3, "page", in_pages)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert len(repository.trees) == 2
    monkeypatch.undo()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    for snapshot in repository.trees:
        repository.verify(snapshot)
