"""The catalogue, row by row, by a key that may not delete and by one that may: noticed on the next run, healed, and quiet thereafter."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maintainer.core.job import Keep
from maintainer.drill.catalogue import CATALOGUE, Attack
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

IDS = [f"{attack.number}: {attack.name}" for attack in CATALOGUE]


class Wide(Repository):
    """A host whose policy was left too wide: its key may do anything in the bucket."""

    def put(self, key: str, body: bytes, identity: str = "admin", **headers: Any) -> None:
        super().put(key, body, identity, **headers)


@pytest.fixture(scope="session")
def four_days(_sandbox_for_time: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Four honest days, made once a worker."""
    made = Repository(_sandbox_for_time, f"base-{uuid.uuid4().hex[:12]}", tmp_path_factory.mktemp("base"))
    made.init()
    made.write("stays", 100_000, 0)
    now = SystemClock().now()
    for day in range(4):
        made.write(f"file{day}", 30_000, day)
        (made.source / f"file{day - 3}").unlink(missing_ok=True)
        made.backup(time=now - timedelta(days=4 - day, hours=1))
    return made


def copy_of(base: Repository, root: Path, kind: type[Repository] = Repository) -> Maintained:
    """Return a repository of the same content, in the care of maintainer."""
    made = kind(base.sandbox, f"c-{uuid.uuid4().hex[:12]}", root, trees=dict(base.trees), backed_up=base.source)
    for key in base.objects():
        Repository.put(made, key, base.get(key))
    maintained = Maintained(made, Keep(last=3), limits={})
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    return maintained


def now(maintained: Maintained) -> datetime:
    return SystemClock(maintained.clock_file).now()


def settles(maintained: Maintained) -> None:
    """Hold what must hold after every attack."""
    repository = maintained.repository
    for snapshot in repository.trees:
        repository.verify(snapshot)
    evidence = repository.versions()
    second = maintained.run()
    assert (second.code, second.findings()) == (0, []), second.why()
    before = repository.versions()
    assert evidence <= before
    third = maintained.run()
    assert (third.code, third.findings()) == (0, []), third.why()
    assert repository.versions() == before


@pytest.mark.parametrize("kind", [Repository, Wide], ids=["a host's key", "a wide key"])
@pytest.mark.parametrize("attack", CATALOGUE, ids=IDS)
def test_attack(timed_sandbox: Sandbox, four_days: Repository, tmp_path: Path, attack: Attack, kind: type[Repository]) -> None:
    assert timed_sandbox.endpoint == four_days.sandbox.endpoint
    if attack.wide and kind is Repository:
        return
    maintained = copy_of(four_days, tmp_path, kind)
    attack.act(maintained.repository, now(maintained))
    ran = maintained.run()
    found = set(ran.findings())
    assert ran.code == (3 if attack.noticed else 0), ran.why()
    assert found <= {one.value for one in attack.noticed}
    assert bool(found) == bool(attack.noticed)
    settles(maintained)
