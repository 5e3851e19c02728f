"""Honest backups that are in flight while a run looks: they are taken as they are, and nobody is alarmed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintainer.core.versions import ObjectVersion
from maintainer.edges.objectstore import S3Store
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository


def test_a_backup_that_ends_while_the_bucket_is_listed_alarms_nobody(
    timed_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing goes by key and takes its time: packs are listed first, and the snapshot that needs newer ones last."""
    repository = Repository(timed_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    repository.write("file1", 100_000, 1)
    repository.backup()
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 0
    listed = S3Store.survey

    def in_pages(store: S3Store, folder: str = "") -> Iterator[ObjectVersion]:
        first = [version for version in listed(store, folder) if version.key < "index/"]
        yield from first
        if first and len(repository.trees) == 1:
            repository.write("file2", 100_000, 2)
            repository.backup()
        yield from (version for version in listed(store, folder) if version.key >= "index/")

    monkeypatch.setattr(S3Store, "survey", in_pages)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert len(repository.trees) == 2
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    for snapshot in repository.trees:
        repository.verify(snapshot)
