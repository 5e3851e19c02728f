"""restic's cache in a run: as large as the disk allows, gone afterwards; and the check reads all from the bucket nevertheless."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from maintainer.core.job import Keep
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.format.indexes import read_index
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

FOLDERS = 40


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maintained:
    """A host with some folders, three days of it, and a place for caches of its own."""
    (tmp_path / "caches").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "caches"))
    repository = Repository(timed_sandbox, f"c-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for number in range(FOLDERS):
        (repository.source / f"folder{number}").mkdir()
        repository.write(f"folder{number}/file", 2_000, number)
    made = Maintained(repository, keep=Keep(last=1))
    for seed in range(3):
        repository.write("folder0/file", 50_000, seed)
        repository.backup()
    made.expect_host()
    return made


def with_trees(maintained: Maintained) -> set[str]:
    """Return the packs that hold trees, by the indexes in the bucket."""
    repository = maintained.repository
    return {
        RepositoryFile(FileType.PACK, pack).key()
        for index in repository.objects("index/")
        for pack, blobs in read_index(repository.master_key(), repository.get(index))
        if any(kind == "tree" for _, kind, *_ in blobs)
    }


def recorded(maintained: Maintained) -> set[str]:
    current = set(maintained.repository.objects("data/"))
    return {key for key, record in maintained.fold().records.items() if record.trees and key in current}


def test_packs_of_trees_are_known_those_too_that_a_prune_wrote(maintained: Maintained) -> None:
    assert maintained.run().code == 0
    before = recorded(maintained)
    assert before == with_trees(maintained)
    assert before < set(maintained.repository.objects("data/"))
    maintained.pass_days(15)
    ran = maintained.run()
    assert ran.named("prune.finished")[0].fields["written"], ran.why()
    after = recorded(maintained)
    assert after - before
    assert with_trees(maintained) <= after
    assert not list((maintained.repository.root / "caches").iterdir())


def test_a_disk_that_is_nearly_full_does_without_and_says_so(maintained: Maintained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9_000))
    ran = maintained.run()
    assert ran.code == 0, ran.why()
    (told,) = ran.named("cache.refused")
    assert told.fields["free"] == "8.8 KiB"
    maintained.repository.verify(next(iter(maintained.repository.trees)))
