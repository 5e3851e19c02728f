"""Snapshots that claim to be older than the store has seen them: before first contact, when no ledger tells which of them are true."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.drill import forge
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

NOW = datetime.now(UTC)


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"b-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


def back_up(repository: Repository, *days_ago: int) -> list[str]:
    """Back up, as if so many days ago."""
    made = []
    for days in days_ago:
        repository.write(f"file{days}", 50_000, days)
        made.append(repository.backup(time=NOW - timedelta(days=days) if days else None))
    return made


def suspects(maintained: Maintained) -> set[str]:
    found = (one.finding for one in maintained.fold().findings.values() if one.standing.value != "gone")
    return {one.subject.removeprefix("snapshots/") for one in found if one.kind.value == "suspect-snapshot"}


def test_a_year_that_was_put_in_an_afternoon_crowds_no_true_snapshot_out_even_where_the_host_is_expected(repository: Repository) -> None:
    (true,) = back_up(repository, 0)
    fakes = back_up(repository, *range(360, 20, -60))
    maintained = Maintained(repository, keep=Keep(monthly=3))
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"suspect-snapshot"}), ran.why()
    assert suspects(maintained) == set(fakes)
    said = str([event.fields["detail"] for event in ran.named("finding.reported")])
    assert "it came 360 days after the time that it claims, and others did not" in said
    for days in (20, 40):
        maintained.pass_days(days)
        assert not maintained.run().named("snapshot.forgotten")
    repository.verify(true)
    maintained.accept()
    assert maintained.run().code == 0
    assert not suspects(maintained)


def test_what_a_host_completes_after_first_contact_is_no_older_than_the_store_saw_it(repository: Repository) -> None:
    """Fakes whose packs are held back are incomplete at first contact; once they are whole they must not count at once."""
    master = repository.master_key()
    (true,) = back_up(repository, 0)
    content = os.urandom(50_000)
    when = dict.fromkeys(("mtime", "atime", "ctime"), "2026-01-01T00:00:00Z")
    node = {"name": "f", "type": "file", "mode": 420, **when, "uid": 0, "gid": 0, "size": len(content)}
    tree = forge.tree([{**node, "content": [hashlib.sha256(content).hexdigest()]}])
    data, trees = forge.pack(master, [("data", content, "")]), forge.pack(master, [("tree", tree, "")])
    fakes: set[str] = set()
    for days in range(360, 20, -60):
        made = forge.snapshot(master, time=NOW - timedelta(days=days), host=repository.host, paths=repository.paths, tree=trees.blobs[0].id)
        repository.put(made.key, made.body)
        fakes.add(made.id)
    maintained = Maintained(repository, keep=Keep(monthly=3))
    maintained.expect_host()
    assert maintained.run().code == 3
    time.sleep(1.1)
    for one in (data, trees, forge.index(master, {data.id: data.blobs, trees.id: trees.blobs})):
        repository.put(one.key, one.body)
    for days in (1, 2, 20, 40):
        maintained.pass_days(days)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        assert not ran.named("snapshot.forgotten"), ran.why()
        assert suspects(maintained) == fakes
    repository.verify(true)


def test_where_no_host_is_expected_the_first_report_lists_them_and_accept_settles_them(repository: Repository) -> None:
    back_up(repository, 100, 50)
    back_up(repository, 0)
    maintained = Maintained(repository)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["confirm-repository"]), ran.why()
    (told,) = (str(event.fields["detail"]) for event in ran.named("finding.reported"))
    assert "2 snapshots came days after the time that they claim, and others did not: " in told
    maintained.accept()
    ran = maintained.run()
    assert (ran.code, ran.findings(), suspects(maintained)) == (0, [], set()), ran.why()


def test_a_repository_that_was_copied_here_whole_is_doubted_in_nothing(repository: Repository) -> None:
    back_up(repository, 300, 200, 100, 30)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings(), suspects(maintained)) == (0, [], set()), ran.why()
