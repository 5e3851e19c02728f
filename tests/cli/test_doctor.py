"""`maintainer doctor`: what a user sees of stores that can do all, less, or too little."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.cli.test_commands import User
from tests.support.buckets import without
from tests.support.faulty import FaultyProxy


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> User:
    return User(sandbox, tmp_path)


def test_a_fit_store_is_told_line_by_line_and_a_run_goes_on_as_before(user: User) -> None:
    user.repository.write("a", 10_000, 1)
    user.repository.backup()
    said = user("doctor")
    assert said.startswith(f"web  s3://{user.sandbox.bucket}/{user.repository.prefix}\n")
    assert "  yes    listing of versions: newest first, delete markers among them" in said
    assert "  no     copy of a version: foreign headers: ContentEncoding\n         → what was overwritten is healed by get and put" in said
    assert "  yes    conditional put, in the state store" in said
    assert "UNFIT" not in said
    assert said.endswith("  fit for maintainer\n")
    user("run", "--once", code=3)
    assert user("status", code=3).count("  ! ") == 1, "the hosts are not confirmed yet, and that is all"


def test_it_says_the_same_in_json(user: User) -> None:
    (told,) = json.loads(user("doctor", "--json"))
    assert told["repository"] == "web"
    held = {one["name"]: one["holds"] for one in told["capabilities"]}
    assert held["range of a version"] is True
    assert held["copy of a version"] is False


def test_a_right_that_is_missing_is_named_and_everything_else_is_tried(user: User) -> None:
    with without(user.sandbox, "s3:PutObjectVersionTagging"):
        said = user("doctor")
    assert "  ?      tags of versions: " in said
    assert "s3:PutObjectVersionTagging" in said
    assert "  yes    clock: " in said


def test_with_rights_that_only_read_nothing_is_proved(user: User) -> None:
    with without(user.sandbox, "s3:PutObject"):
        said = user("doctor", code=2)
    assert "  ?      reading of versions: " in said
    assert "not fit, or not proved to be: reading of versions, listing of versions" in said


def test_an_unfit_store_ends_it_with_2(user: User) -> None:
    missing = user.config.read_text().replace("backups/", "nowhere/")
    user.config.write_text(missing)
    assert "UNFIT  what stops a run: " in user("doctor", code=2)


def test_a_store_that_is_gone_is_told(user: User) -> None:
    with FaultyProxy(user.sandbox.endpoint, slow=1) as proxy:
        user.config.write_text(user.config.read_text().replace(user.sandbox.endpoint, proxy.endpoint))
        assert "SlowDown" in user("doctor", code=2)
