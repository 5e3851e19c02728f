"""What has expired and is put back by an attacker serves an honest backup that relied on it: true bytes are true at any version."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_release import expire
from tests.support.agents import Maintained
from tests.support.repositories import Repository


def grow(repository: Repository, number: int) -> str:
    """Back up a folder of which one file is the number's own."""
    for file in repository.source.iterdir():
        if file.name.startswith("own"):
            file.unlink()
    repository.write("stays", 60_000, 0)
    repository.write(f"own{number}", 120_000, number)
    return repository.backup()


def forget_all(repository: Repository, key: str) -> None:
    """Remove all there is of a key: the last that a lifecycle rule does to what has expired."""
    s3, bucket, name = repository.s3("admin"), repository.sandbox.bucket, f"{repository.prefix}/{key}"
    page = s3.list_object_versions(Bucket=bucket, Prefix=name)
    for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
        s3.delete_object(Bucket=bucket, Key=name, VersionId=one["VersionId"])


@pytest.mark.parametrize("markers", ["stay", "go"])
@pytest.mark.parametrize("noticed", ["at once", "the night before the backup"])
@pytest.mark.matrix
def test_a_backup_that_relies_on_what_an_attacker_put_back_is_kept(
    timed_sandbox: Sandbox, tmp_path: Path, markers: str, noticed: str
) -> None:
    repository = Repository(timed_sandbox, f"d-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    first = grow(repository, 1)
    stolen = {key: repository.get(key) for key in repository.objects() if key.startswith(("data/", "index/"))}
    grow(repository, 2)
    maintained = Maintained(repository, keep=Keep(last=1))
    maintained.expect_host()
    assert maintained.run().code == 0
    for day in (15, 23, 60, 61):
        maintained.pass_days(day)
        ran = maintained.run()
        assert ran.code == 0, ran.why()
    gone = {key for key in stolen if key not in repository.objects()}
    assert {key.partition("/")[0] for key in gone} == {"data", "index"}
    assert expire(repository) > 0
    if markers == "go":
        for key in gone:
            forget_all(repository, key)
    del repository.trees[first]
    for key in gone:
        repository.put(key, stolen[key])
    held = repository.restic("list", "packs", "--no-lock").stdout
    assert all(key.rpartition("/")[2] in held for key in gone if key.startswith("data/"))
    if noticed == "at once":
        again = grow(repository, 1)
    else:
        again = grow(repository, 1)
        body = repository.get(f"snapshots/{again}")
        repository.hide(f"snapshots/{again}")
        forget_all(repository, f"snapshots/{again}")
        assert set(maintained.run().findings()) <= {"replayed", "index-names-doomed-packs"}
        repository.put(f"snapshots/{again}", body)
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert "incomplete-snapshot" not in ran.findings(), ran.why()
    repository.verify(again)
    needed = {key for key in gone if key.startswith("data/") and maintained.fold().records[key].state is State.ADMITTED}
    assert needed
    for day in (62, 80, 120, 160):
        maintained.pass_days(day)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        expire(repository)
    assert needed <= set(repository.objects("data/"))
    repository.verify(again)
    repository.restic("check", "--no-lock", "--read-data")
