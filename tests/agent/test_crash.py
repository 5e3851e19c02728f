"""An agent that is killed after a step, or whose check fails night after night, loses nothing and litters nothing.

Kills at every write are in test_kills.
"""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maintainer.agent import preflight
from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.sandbox.daemon import Sandbox
from tests.agent.test_history import erase
from tests.support.agents import Maintained
from tests.support.repositories import BOTH, Repository

Moment = Callable[[dict[str, Any]], bool]


def after(step: str) -> Moment:
    return lambda event: event["event"] == "step.finished" and event["step"] == step


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    """On the night when all but the newest of four snapshots are to be forgotten, their packs repacked, and packs are attacked."""
    repository = Repository(timed_sandbox, f"c-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for seed in range(1, 5):
        repository.change(seed, 150_000)
        repository.backup()
    made = Maintained(repository, keep=Keep(last=2))
    made.expect_host()
    assert made.run().code == 0
    made.pass_days(15)
    attack(repository)
    return made


def attack(repository: Repository) -> None:
    for key in (*repository.objects("data/")[:4], *repository.objects("index/")[:1]):
        repository.put(key, b"garbage")


def kill_at(maintained: Maintained, moment: Moment) -> bool:
    """Run, and kill the agent the moment that it tells an event; return whether it did."""
    process = maintained.start()
    assert process.stdout is not None
    killed = False
    for line in process.stdout:
        if not killed and moment(json.loads(line)):
            os.kill(process.pid, signal.SIGKILL)
            killed = True
    process.wait()
    return killed


def settles(maintained: Maintained) -> None:
    """Let the nights go on, and hold what must hold in the end."""
    repository = maintained.repository
    whole = list(repository.trees)
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    kept = whole[2:]
    assert {key for key in maintained.fold().having(State.ADMITTED) if key.startswith("snapshots/")} == {f"snapshots/{one}" for one in kept}
    for snapshot in kept:
        repository.verify(snapshot)
    for days in (23, 31):
        maintained.pass_days(days)
        ran = maintained.run()
        assert ran.code == 0, ran.why()
    records = maintained.fold().records
    known = {key for key in records if records[key].state is State.ADMITTED}
    assert {key for key in repository.objects() if not key.startswith("maintainer/")} == known
    assert repository.restic("check", "--read-data").returncode == 0
    for snapshot in kept:
        repository.verify(snapshot)


@pytest.mark.matrix
@BOTH
def test_a_kill_after_every_step_one_night_after_the_other(maintained: Maintained, restic: str) -> None:
    maintained.repository.binary = restic
    for step in ("survey", "revert", "admit", "freeze", "forget", "prune", "check"):
        assert kill_at(maintained, after(step)), step
        attack(maintained.repository)
    settles(maintained)


def test_five_nights_whose_check_fails_leave_one_nights_writes(maintained: Maintained) -> None:
    repository = maintained.repository
    process = maintained.start()
    assert process.stdout is not None
    bodies: dict[str, bytes] = {}
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "prune.finished":
            process.send_signal(signal.SIGSTOP)
            admitted = maintained.fold().having(State.ADMITTED)
            bodies = {key: repository.get(key) for key in repository.objects("data/") if key in admitted}
            erase(repository, list(bodies))
            process.send_signal(signal.SIGCONT)
    assert process.wait() == 4
    after_one = repository.versions()
    for _ in range(4):
        ran = maintained.run()
        assert ran.code == 4
        assert "check --read-data failed" in ran.why()
        assert ran.named("prune.skipped")
        assert "prune" not in {event.step for event in ran.named("step.started")}
    assert repository.versions() == after_one
    for key, body in bodies.items():
        repository.put(key, body)
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert not ran.named("prune.skipped")
    settles(maintained)


def test_a_run_that_heals_and_then_dies_or_fails_does_not_keep_the_attack_to_itself(maintained: Maintained) -> None:
    maintained.run()
    repository = maintained.repository
    attack(repository)
    assert kill_at(maintained, after("revert"))
    maintained.password_file.rename(maintained.password_file.with_suffix(".gone"))
    failed = maintained.run()
    assert failed.code == 2
    assert "can not be read" in failed.why()
    assert set(failed.findings()) == {"overwritten"}
    maintained.password_file.with_suffix(".gone").rename(maintained.password_file)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"overwritten"})
    assert maintained.run().code == 0


def test_without_a_password_everything_is_healed_all_the_same(maintained: Maintained) -> None:
    maintained.password_file.unlink()
    assert maintained.run().code == 2
    for snapshot in maintained.repository.trees:
        maintained.repository.verify(snapshot)


def test_want_of_memory_is_no_fault_of_ours_and_says_what_to_do(maintained: Maintained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "check", lambda *_: bytearray(1 << 62))
    ran = maintained.run()
    assert ran.code == 4
    assert ran.why() == "this machine has no memory left"
    monkeypatch.undo()
    assert maintained.run().code == 3  # the attack on its packs is healed and told
