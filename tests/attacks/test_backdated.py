"""Snapshots that claim to be older than the store has seen them: before first contact, when no ledger tells which of them are true."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maintainer.core.job import Keep
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
