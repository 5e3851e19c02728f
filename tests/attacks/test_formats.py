"""Format 1 and 2: an owner's migration goes on, a forged one harms nobody, and what restic refuses in format 1 is garbage there."""

from __future__ import annotations

import json
import uuid
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import zstandard

from maintainer.agent import formats
from maintainer.core.records import State
from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.format.crypto import COMPRESSED, decrypt
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import BOTH, Repository


def format_1(sandbox: Sandbox, root: Path, binary: str) -> Repository:
    """Return a repository of format 1 with two backups."""
    made = Repository(sandbox, f"v-{uuid.uuid4().hex[:12]}", root, binary=binary)
    made.restic("init", "--repository-version", "1")
    for number in range(2):
        back_up(made, number)
    return made


def back_up(repository: Repository, number: int) -> None:
    repository.change(number, 100_000)
    repository.backup()


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path, restic: str) -> Maintained:
    made = Maintained(format_1(timed_sandbox, tmp_path, restic))
    made.expect_host()
    ran = made.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    return made


def prove(maintained: Maintained, number: int) -> None:
    """Let the host check, restore all it ever backed up, and back up again."""
    repository = maintained.repository
    repository.restic("check", "--no-lock", "--read-data")
    for snapshot in repository.trees:
        repository.verify(snapshot)
    back_up(repository, number)


def config(maintained: Maintained, **changes: Any) -> bytes:
    """Return the repository's config, sealed under its key, with some fields changed."""
    key = maintained.repository.master_key()
    raw = json.loads(decrypt(key, maintained.repository.get("config")))
    return forge.seal(key, forge.compact({**raw, **changes}))


@pytest.mark.matrix
@BOTH
def test_an_owner_who_migrates_accepts_the_config_and_does_nothing_else(maintained: Maintained, restic: str) -> None:
    repository = maintained.repository
    repository.restic("migrate", "upgrade_repo_v2", identity="admin")
    for number in (2, 3):
        back_up(repository, number)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["migrated"]), ran.why()
    prove(maintained, 4)
    again = maintained.run()
    assert (again.code, again.findings(), again.findings("open")) == (0, [], ["migrated"]), again.why()
    record = maintained.fold().records["config"]
    maintained.judge("accept", f"config@{record.version}")
    ran = maintained.run()
    assert (ran.code, ran.findings("gone")) == (0, ["migrated"]), ran.why()
    prove(maintained, 5)
    assert (maintained.run().code, maintained.fold().records["config"].reason) == (0, f"accepted {record.version}")


@pytest.mark.matrix
@BOTH
def test_a_migration_before_first_contact_is_how_it_is_met(timed_sandbox: Sandbox, tmp_path: Path, restic: str) -> None:
    repository = format_1(timed_sandbox, tmp_path, restic)
    repository.restic("migrate", "upgrade_repo_v2", identity="admin")
    back_up(repository, 2)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    prove(maintained, 3)
    assert maintained.run().code == 0


def compressed(plain: bytes) -> bytes:
    return bytes([COMPRESSED]) + zstandard.compress(plain)


def compressed_files(maintained: Maintained) -> list[str]:
    """Put a true index and a true snapshot once more, compressed; return their keys."""
    repository = maintained.repository
    key = repository.master_key()
    put = []
    for folder, kind in (("index/", FileType.INDEX), ("snapshots/", FileType.SNAPSHOT)):
        plain = decrypt(key, repository.get(repository.objects(folder)[0]))
        made = forge.forged(kind, forge.seal(key, compressed(plain)))
        repository.put(made.key, made.body)
        put.append(made.key)
    return put


@pytest.mark.matrix
@BOTH
def test_what_is_compressed_in_format_1_is_garbage_and_stops_neither_a_run_nor_the_host(maintained: Maintained, restic: str) -> None:
    put = compressed_files(maintained)
    assert maintained.repository.restic("check", "--no-lock", check=False).returncode != 0
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"garbage"}), ran.why()
    assert {maintained.fold().records[key].state for key in put} == {State.EVICTED}
    prove(maintained, 2)
    assert maintained.run().code == 0


@pytest.mark.matrix
@BOTH
def test_a_forged_migration_that_is_taken_back_leaves_the_host_what_it_can_read(maintained: Maintained, restic: str) -> None:
    repository = maintained.repository
    old = repository.get("config")
    repository.put("config", config(maintained, version=2))
    repository.put("config", old)
    compressed_files(maintained)
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert {"migrated"} <= set(ran.findings()) <= {"migrated", "overwritten", "suspect-snapshot"}
    prove(maintained, 2)
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    repository.put("config", old)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["overwritten"]), ran.why()
    prove(maintained, 3)


@pytest.mark.matrix
@BOTH
@pytest.mark.parametrize("changes", [{"id": "cd" * 32}, {"chunker_polynomial": "3abc9bff07d9e5"}, {"version": 3}])
def test_a_config_that_says_anything_else_is_no_migration(maintained: Maintained, restic: str, changes: dict[str, Any]) -> None:
    repository = maintained.repository
    before = repository.get("config")
    repository.put("config", config(maintained, **{"version": 2, **changes}))
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["overwritten"]), ran.why()
    assert repository.get("config") == before
    prove(maintained, 2)


@pytest.mark.matrix
@BOTH
def test_config_is_healed_where_the_password_can_not_be_had(maintained: Maintained, restic: str) -> None:
    repository = maintained.repository
    before = repository.get("config")
    repository.put("config", b"junk")
    maintained.password_file.write_text("wrong\n")
    ran = maintained.run()
    assert ran.code == 2, ran.why()
    assert repository.get("config") == before
    maintained.password_file.write_text(repository.password + "\n")
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["overwritten"]), ran.why()


@pytest.mark.matrix
@BOTH
def test_a_config_that_was_accepted_takes_back_no_later_migration(maintained: Maintained, restic: str) -> None:
    repository = maintained.repository
    repository.put("config", config(maintained))  # the same, sealed anew
    assert maintained.run().findings() == ["overwritten"]
    evidence = maintained.fold().findings["overwritten:config"].finding.evidence
    maintained.judge("accept", f"config@{evidence}")
    assert maintained.run().code in (0, 3)
    repository.restic("migrate", "upgrade_repo_v2", identity="admin")
    back_up(repository, 2)
    for night in range(3):
        ran = maintained.run()
        assert (ran.code, ran.findings()) == ((0, []) if night else (3, ["migrated"])), ran.why()
        prove(maintained, 3 + night)


@pytest.mark.matrix
@BOTH
def test_a_flood_of_configs_makes_no_garbage_of_what_was_written_after_a_migration(
    maintained: Maintained, restic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "MOST_CONFIGS", 10)
    monkeypatch.setattr(formats, "_some", lambda run: islice(run.histories["config"].oldest_first(), 3))
    repository = maintained.repository
    old = repository.get("config")
    for _ in range(6):
        repository.put("config", old)
    repository.restic("migrate", "upgrade_repo_v2", identity="admin")
    back_up(repository, 2)
    for _ in range(6):
        repository.put("config", old)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"undecided"}), ran.why()
    assert not ran.named("object.evicted")
    monkeypatch.undo()
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert "migrated" in ran.findings()
    prove(maintained, 3)
