"""`maintainer drill attack`: what it says is what came of it, and the repository whose policy it borrows is not touched."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from maintainer.core.findings import Kind
from maintainer.core.job import RepositoryJob
from maintainer.drill import damage
from maintainer.drill.catalogue import CATALOGUE, Attack
from maintainer.drill.rehearsal import Rehearsal
from maintainer.drill.target import Target
from maintainer.edges import restic
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.commands import command

CONFIG = """\
[state]
location = "s3:http://127.0.0.1:9/state"
[group.all]
compute = "local"
[[repository]]
name = "web"
location = "s3:http://127.0.0.1:9/backups/web"
password = "file:/nowhere"
[repository.keep]
daily = 3
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "maintainer.toml").write_text(CONFIG)
    return str(tmp_path / "maintainer.toml")


def test_a_drill_tells_by_what_each_attack_was_noticed_and_that_it_was_healed(config: str) -> None:
    """The stores that the configuration names do not even answer: nothing of them is needed."""
    code, output, errors = command(config, "drill", "attack", "web", "--only", "1", "--only", "14")
    assert code == 0, errors
    first, second = [line for line in output.splitlines() if "locks" in line or "every file overwritten" in line]
    assert "overwritten  " in first
    assert " yes " in first
    assert "nothing to notice" in second
    assert "2 of 2 attacks were noticed and healed; web itself was not touched" in output


def test_for_programs_it_is_json_and_a_number_that_is_none_is_told(config: str) -> None:
    code, output, _ = command(config, "drill", "attack", "web", "--only", "21", "--json")
    (row,) = json.loads(output)
    assert code == 0
    assert (row["noticed_by"], row["healed"], row["passed"]) == (["suspect-snapshot"], True, True)
    code, _, errors = command(config, "drill", "attack", "web", "--only", "99")
    assert code == 2
    assert "--only: 99; expected one of 1, 2, 4" in errors


def test_what_is_not_noticed_or_not_healed_does_not_pass(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    """An attack that is expected to be noticed and does nothing; and one that takes the truth away for good."""
    like = RepositoryJob("web", None, "", probation_s=0)  # type: ignore[arg-type]
    rehearsal = Rehearsal(timed_sandbox, tmp_path, like, restic.find().binary, SystemClock())
    rehearsal.prepare()
    idle = Attack(1, "nothing", lambda *_: None, frozenset({Kind.OVERWRITTEN}))

    def lose(target: Target, now: datetime) -> None:
        damage.overwrite_everything(target, now)
        erase(timed_sandbox, target)

    lossy = replace(CATALOGUE[0], act=lose)
    quiet, lost = rehearsal.rehearse([idle, lossy])
    assert (quiet.healed, quiet.passed) == (True, False)
    assert (lost.healed, lost.passed) == (False, False)
    assert lost.reason


def erase(sandbox: Sandbox, target: object) -> None:
    """Remove the oldest version of every pack, which only the storage's owner can."""
    from tests.support.buckets import client  # noqa: PLC0415

    s3, prefix = client(sandbox, "admin"), target.prefix  # type: ignore[attr-defined]
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=sandbox.bucket, Prefix=f"{prefix}/data/"):
        for version in page["Versions"]:
            if not version["IsLatest"]:
                s3.delete_object(Bucket=sandbox.bucket, Key=version["Key"], VersionId=version["VersionId"])
