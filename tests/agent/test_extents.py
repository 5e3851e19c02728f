"""What snapshots reach is measured by reading what is new: the same as if all were read, and whatever has become of what is remembered."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.core.records import Extent
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained, Ran
from tests.support.repositories import Repository

FOLDERS = 30
PATH = 10
"""How many trees a changed folder may change at most: its own, and those above, of which others may have changed too."""


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    """A host with some folders, after first contact."""
    repository = Repository(timed_sandbox, f"e-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for number in range(FOLDERS):
        (repository.source / f"folder{number}").mkdir()
        repository.write(f"folder{number}/file", 2_000, number)
        repository.write(f"folder{number}/other", 2_000, FOLDERS + number)
    repository.backup()
    made = Maintained(repository)
    made.expect_host()
    assert trees_read(made.run()) > FOLDERS
    return made


def night(maintained: Maintained, *folders: int, seed: int = 1000) -> Ran:
    for number in folders:
        maintained.repository.write(f"folder{number}/file", 2_000, seed + number)
    maintained.repository.backup()
    ran = maintained.run()
    assert ran.code == 0, ran.why()
    return ran


def trees_read(ran: Ran) -> int:
    (told,) = ran.named("snapshots.measured")
    assert isinstance(told.fields["trees"], int)
    return told.fields["trees"]


def sizes(maintained: Maintained) -> dict[str, int]:
    records = maintained.fold().records
    return {key: record.extent.size for key, record in records.items() if isinstance(record.extent, Extent)}


def pieces(maintained: Maintained) -> list[str]:
    """Return what is kept, as the state store names it."""
    return maintained.state.remembered_trees()


def test_a_night_reads_the_trees_that_are_new_and_comes_to_the_same(maintained: Maintained) -> None:
    for seed in (1000, 2000):
        assert 2 <= trees_read(night(maintained, 1, seed=seed)) <= PATH
    assert trees_read(night(maintained)) <= PATH
    one = maintained.repository
    other = Repository(one.sandbox, f"{one.prefix}-afresh", one.root, backed_up=one.source)
    for key in one.objects():
        if not key.startswith("maintainer/"):
            other.put(key, one.get(key))
    afresh = Maintained(other)
    afresh.expect_host()
    assert trees_read(afresh.run()) > FOLDERS
    assert sizes(afresh) == sizes(maintained)
    assert len(sizes(afresh)) == 4


def test_what_is_remembered_may_be_cut_or_gone(maintained: Maintained) -> None:
    (piece,) = pieces(maintained)
    store, sandbox = maintained.repository.s3("admin"), maintained.repository.sandbox
    where = {"Bucket": sandbox.state_bucket, "Key": f"tests/{maintained.name}/{piece}"}
    whole = store.get_object(**where)["Body"].read()
    store.put_object(**where, Body=whole[:-1])
    assert trees_read(night(maintained, 1)) > FOLDERS
    assert trees_read(night(maintained, 1, seed=2000)) <= PATH
    for key in pieces(maintained):
        store.delete_object(Bucket=sandbox.state_bucket, Key=f"tests/{maintained.name}/{key}")
    assert trees_read(night(maintained, 1, seed=3000)) > FOLDERS


def test_what_no_snapshot_reaches_is_remembered_no_more(maintained: Maintained) -> None:
    for seed in range(1000, 4000, 1000):
        night(maintained, *range(FOLDERS), seed=seed)
    before = pieces(maintained)
    assert len(before) == 4
    maintained.judge("reject", *(f"snapshots/{snapshot}" for snapshot in list(maintained.repository.trees)[:-1]))
    for snapshot in list(maintained.repository.trees)[:-1]:
        del maintained.repository.trees[snapshot]
    maintained.run()
    night(maintained, 1, seed=9000)
    (after,) = pieces(maintained)
    assert after not in before
    assert trees_read(night(maintained, 2, seed=9000)) <= PATH
