"""Impossible times: a snapshot that claims one is a suspect like others, and stops no run; nor does it before first contact, nor a lock."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.drill.lies import newest
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import guarded
from tests.support.agents import Maintained
from tests.support.repositories import Repository

TIMES = [
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "0999-12-31T23:59:59.999999999-23:59",
    "9999-12-31T23:59:59-14:00",
    "9999-12-31T23:59:59.999999999Z",
]


def put_snapshot(repository: Repository, time: str) -> str:
    """Put a copy of the newest snapshot that claims this time; return its key."""
    key = repository.master_key()
    tree = newest(repository).tree
    made = forge.snapshot(key, time=datetime.now(UTC), host=repository.host, paths=repository.paths, tree=tree, more={"time": time})
    repository.put(made.key, made.body)
    return made.key


@pytest.mark.matrix
@pytest.mark.parametrize("time", TIMES)
def test_a_snapshot_of_an_impossible_time_is_suspect(timed_sandbox: Sandbox, tmp_path: Path, time: str) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    put = put_snapshot(one.repository, time)
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (3, ["suspect-snapshot"]), ran.why()
    (told,) = ran.named("finding.reported")
    assert told.fields["subject"] == put
    again = one.maintained.run()
    assert (again.code, again.findings("open")) == (0, ["suspect-snapshot"]), again.why()
    one.prove_whole()


@pytest.mark.matrix
@pytest.mark.parametrize("time", TIMES)
def test_and_before_first_contact(timed_sandbox: Sandbox, tmp_path: Path, time: str) -> None:
    repository = Repository(timed_sandbox, f"t-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    repository.write("file", 30_000, 1)
    honest = repository.backup()
    put = put_snapshot(repository, time)
    maintained = Maintained(repository, Keep(last=4))
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["confirm-repository"]), ran.why()
    maintained.accept()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["suspect-snapshot"]), ran.why()
    assert {told.fields["subject"] for told in ran.named("finding.reported") if told.fields["standing"] == "new"} == {put}
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    repository.verify(honest)


@pytest.mark.matrix
@pytest.mark.parametrize("time", TIMES)
def test_a_lock_of_an_impossible_time_is_as_old_as_its_object(timed_sandbox: Sandbox, tmp_path: Path, time: str) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=3))
    one.day += 20
    one.live(1)
    assert one.maintained.run().named("snapshot.forgotten")
    one.day += 8
    one.live(1)
    raw = {"time": time, "exclusive": False, "hostname": "web1", "username": "root", "pid": 1}
    lock = forge.forged(FileType.LOCK, forge.seal(one.repository.master_key(), forge.compact(raw)))
    one.repository.put(lock.key, lock.body)
    ran = one.maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert ran.named("marking.postponed")
    one.maintained.pass_days(one.day + 0.03)
    ran = one.maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert not ran.named("marking.postponed")
    assert [event for event in ran.named("object.marked") if str(event.fields["key"]).startswith("data/")]
    one.prove_whole()
