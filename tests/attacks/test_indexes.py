"""Attack 12 and 24: indexes that lie are never believed, and honest backups after the run are whole."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.drill import poison
from maintainer.drill.target import Target
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

ATTACKS: dict[str, Callable[[Target], None]] = {
    **{name: partial(poison.poison, kind=kind) for name, kind in poison.POISONS.items()},
    "twenty-five at once": poison.poison_often,
}


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    """Three good snapshots under a policy that forgets, in the care of maintainer."""
    repository = Repository(timed_sandbox, f"p-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for seed in (1, 2, 3):
        repository.write(f"file{seed}", 150_000, seed)
        repository.backup()
    made = Maintained(repository, Keep(last=2))
    made.expect_host()
    ran = made.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    return made


@pytest.mark.matrix
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_poisoned_index_costs_nothing(maintained: Maintained, attack: Callable[[Target], None]) -> None:
    """Attack 24: a backup that trusts the poison is incomplete at worst, and told; the next is whole; the policy goes on."""
    repository = maintained.repository
    attack(repository)
    repository.write("new", 100_000, 9)
    repository.backup(good=False)
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert "poisoned-index" in ran.findings()
    assert set(ran.findings()) <= {"poisoned-index", "garbage", "incomplete-snapshot"}
    repository.write("new", 100_000, 9)
    newest = repository.backup()
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    for snapshot in repository.trees:
        repository.verify(snapshot)
    maintained.pass_days(30)
    ran = maintained.run()
    assert ran.named("snapshot.forgotten"), ran.why()
    maintained.pass_days(45)
    assert maintained.run().code == 0
    repository.verify(newest)
