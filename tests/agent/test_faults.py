"""Faults of the store and of its policies: what fails is repeated where that is safe, told, and nothing is lost."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.edges import s3
from maintainer.edges.restic import Restic
from maintainer.sandbox.daemon import Sandbox
from tests.agent.test_history import grow, watched, whole
from tests.support.buckets import without
from tests.support.faulty import DENIED, STALLED, FaultyProxy
from tests.support.repositories import RESTIC, Repository

STUCK = ("--stuck-request-timeout", "2s")


@pytest.fixture
def repository(strict_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(strict_sandbox, f"f-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


@pytest.mark.matrix
@pytest.mark.parametrize("seed", [1, 2])
def test_503s_and_cut_connections_are_repeated_and_told(repository: Repository, seed: int) -> None:
    grow(repository, 3)
    maintained = watched(repository, keep=Keep(last=1))
    maintained.pass_days(15)
    for key in repository.objects("data/")[:3]:
        repository.put(key, b"garbage")
    with FaultyProxy(repository.sandbox.endpoint, slow=0.15, cut=0.1, seed=seed) as proxy:
        ran = maintained.run_through(proxy.endpoint)
    assert proxy.faults
    assert ran.code in (3, 4), ran.why()
    assert ran.named("call.retried")
    assert maintained.run().code in (0, 3)
    repository.verify(list(repository.trees)[-1])


def test_a_store_that_is_gone_in_the_middle_is_told_and_nothing_is_lost(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    with FaultyProxy(repository.sandbox.endpoint, slow=1, cut=0, seed=1) as proxy:
        ran = maintained.run_through(proxy.endpoint)
    assert ran.code == 4
    assert "SlowDown" in ran.why()
    assert maintained.run().code == 0
    whole(repository)


@pytest.mark.matrix
@pytest.mark.parametrize("whose", [b"X-Amz-Signature=", b"/data/", b"versions"], ids=["restic's reads", "all of packs", "listings"])
def test_a_store_that_stalls_in_the_middle_of_an_answer_is_asked_again(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, whose: bytes
) -> None:
    """Ours wait a minute, and restic, which reads packs by itself, five: here both wait two seconds."""
    grow(repository, 3)
    maintained = watched(repository, keep=Keep(last=1))
    maintained.pass_days(15)
    for key in repository.objects("data/")[:3]:
        repository.put(key, b"garbage")
    plain = Restic.run
    monkeypatch.setattr(s3, "READ_S", 2)
    monkeypatch.setattr(Restic, "run", lambda me, at, word, argv, **more: plain(me, at, word, (*argv, *STUCK), **more))
    with FaultyProxy(repository.sandbox.endpoint, unknown=whose, answer=STALLED, which=range(1, 4)) as proxy:
        ran = maintained.run(maintained.job_through(proxy.endpoint))
        assert proxy.faults == 3
    assert ran.code == 3, ran.why()
    assert not ran.named("restic.repeated")
    assert ran.named("run.committed")
    monkeypatch.undo()
    assert maintained.run().code in (0, 3)
    repository.verify(list(repository.trees)[-1])


def test_a_bucket_whose_policy_refuses_presigned_urls_is_maintained_all_the_same(repository: Repository) -> None:
    grow(repository, 2)
    with FaultyProxy(repository.sandbox.endpoint, unknown=b"X-Amz-Signature=", answer=DENIED) as proxy:
        ran = watched(repository).run_through(proxy.endpoint)
        assert ran.code == 0, ran.why()
        assert proxy.faults == 1, "it is tried once"
    whole(repository)


def test_reads_that_the_store_refuses_once_are_no_damage(repository: Repository) -> None:
    grow(repository, 2)
    with FaultyProxy(repository.sandbox.endpoint, unknown=b"X-Amz-Signature=", answer=DENIED, which=range(1, 4)) as proxy:
        ran = watched(repository).run_through(proxy.endpoint)
        assert proxy.faults == 3
    assert ran.code == 0, ran.why()
    assert ran.named("restic.repeated")
    assert not ran.named("finding.reported")
    whole(repository)


def test_reads_that_the_store_refuses_for_good_end_the_run_and_condemn_nothing(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    with FaultyProxy(repository.sandbox.endpoint, unknown=b"X-Amz-Signature=", answer=DENIED, which=range(1, 1 << 30)) as proxy:
        ran = maintained.run_through(proxy.endpoint)
    assert ran.code == 4
    assert "403" in ran.why()
    assert not ran.named("object.evicted")
    assert maintained.run().code in (0, 3)
    whole(repository)


def test_packs_that_nobody_may_read_are_told_with_the_right_that_is_missing(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    with FaultyProxy(repository.sandbox.endpoint, unknown=b"/data/", answer=DENIED) as proxy:
        ran = maintained.run_through(proxy.endpoint)
    assert ran.code == 2, ran.why()
    assert "s3:GetObject" in str([event.fields["guidance"] for event in ran.named("run.failed")])
    assert not ran.named("restic.repeated")
    assert maintained.run().code == 0
    whole(repository)


def test_a_right_that_is_missing_for_marking_is_told_and_the_next_run_marks(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository, keep=Keep(last=1))
    maintained.pass_days(15)
    with without(repository.sandbox, "s3:DeleteObject"):
        ran = maintained.run()
    assert ran.code == 2
    assert ran.named("run.committed")
    assert "s3:DeleteObject" in str([event.fields["guidance"] for event in ran.named("run.failed")])
    before = set(repository.objects("snapshots/"))
    assert maintained.run().code == 0
    assert set(repository.objects("snapshots/")) < before
    repository.verify(list(repository.trees)[-1])


def test_a_changed_config_is_a_finding_until_a_person_accepts_it(repository: Repository) -> None:
    from os import urandom  # noqa: PLC0415

    from maintainer.format.crypto import decrypt, encrypt  # noqa: PLC0415

    grow(repository, 1)
    maintained = watched(repository)
    key = repository.master_key()
    changed = encrypt(key, decrypt(key, repository.get("config")), urandom(16))
    repository.put("config", changed)
    ran = maintained.run()
    assert ran.findings() == ["overwritten"]
    assert repository.get("config") != changed
    evidence = maintained.fold().findings["overwritten:config"].finding.evidence
    maintained.judge("accept", f"config@{evidence}")
    assert maintained.run().code in (0, 3)
    assert repository.get("config") == changed
    assert maintained.run().code == 0
    assert repository.get("config") == changed
    whole(repository)


def test_a_new_key_is_reported_and_never_shown_until_a_person_accepts_it(repository: Repository) -> None:
    grow(repository, 1)
    maintained = watched(repository)
    (old,) = repository.objects("keys/")
    second = repository.root / "second"
    second.write_text("another")
    repository.restic("key", "add", "--new-password-file", str(second))
    (new,) = [key for key in repository.objects("keys/") if key != old]
    assert maintained.run().findings() == ["new-key"]
    assert maintained.run().findings("open") == ["new-key"]
    maintained.judge("accept", new)
    assert maintained.run().findings("gone") == ["new-key"]
    whole(repository)


@pytest.mark.parametrize(
    ("fails", "said"),
    [
        ("kill -9 $$", "or by the kernel, for want of memory"),
        ("echo 'Fatal: resource temporarily unavailable' >&2; exit 1", "resource temporarily unavailable"),
        ("echo 'fatal error: runtime: cannot allocate memory' >&2; exit 2", "cannot allocate memory"),
    ],
    ids=["killed", "no processes", "no memory"],
)
@pytest.mark.matrix(kind=lambda fails, said, word: word)
@pytest.mark.parametrize("word", ["repair", "check"])
def test_a_machine_on_which_restic_can_do_nothing_condemns_no_honest_pack(
    repository: Repository, tmp_path: Path, fails: str, said: str, word: str
) -> None:
    grow(repository)
    maintained = watched(repository)
    grow(repository, 2, start=2)
    broken = tmp_path / "restic"
    broken.write_text(f'#!/bin/sh\nfor one in "$@"; do case $one in {word}) {fails};; esac; done\nexec {RESTIC} "$@"\n')
    broken.chmod(0o755)
    ran = maintained.run(replace(maintained.job(), restic=str(broken)))
    assert ran.code == 4, ran.why()
    (failed,) = ran.named("run.failed")
    assert said in f"{failed.fields['reason']} {failed.fields['guidance']}"
    assert not ran.named("object.evicted")
    assert not ran.named("object.marked")
    assert maintained.run().code == 0
    whole(repository)
