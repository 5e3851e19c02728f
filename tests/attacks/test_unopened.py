"""Files of before first contact that our password does not open: where a colleague's key may, they wait for a person."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"u-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    made.write("file", 50_000, 1)
    made.backup()
    return made


def put_foreign(repository: Repository, folder: str) -> str:
    """Put a file that opens under another master key, or under none, by its own true name; return its key."""
    body = os.urandom(300)
    key = f"{folder}/{hashlib.sha256(body).hexdigest()}"
    repository.put(key, body)
    time.sleep(1.1)
    return key


def add_key_of_a_colleague(repository: Repository) -> None:
    file = repository.root / "theirs"
    file.write_text("another password")
    repository.restic("key", "add", "--new-password-file", str(file))


@pytest.mark.parametrize("folder", ["snapshots", "index"])
def test_what_a_colleague_s_key_may_open_waits_and_is_let_go_by_a_person(repository: Repository, folder: str) -> None:
    add_key_of_a_colleague(repository)
    key = put_foreign(repository, folder)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["unopened"]), ran.why()
    ran = maintained.run()
    assert (ran.code, ran.findings("open")) == (0, ["unopened"]), ran.why()
    assert key in repository.objects(folder)
    time.sleep(1.1)
    later = put_foreign(repository, folder)
    maintained.judge("reject", "unopened")
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage", "garbage"]), ran.why()
    assert not {key, later} & set(repository.objects(folder))
    for snapshot in repository.trees:
        repository.verify(snapshot)
    repository.restic("check", "--read-data")


@pytest.mark.parametrize("folder", ["snapshots", "index"])
def test_attack_twin_junk_waits_for_nobody_where_honest_files_open_and_no_other_key_lies_there(repository: Repository, folder: str) -> None:
    key = put_foreign(repository, folder)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    assert key not in repository.objects(folder)
    repository.restic("check", "--read-data")


def test_attack_twin_what_comes_after_first_contact_waits_for_no_key(repository: Repository) -> None:
    add_key_of_a_colleague(repository)
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 0
    time.sleep(1.1)
    key = put_foreign(repository, "snapshots")
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    assert key not in repository.objects("snapshots")
