"""The catalogue, row by row, by a key that may not delete and by one that may: noticed on the next run, healed, and quiet thereafter."""

from __future__ import annotations

import json
import random
import signal
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from maintainer.core.job import Keep
from maintainer.drill import damage, lies, poison
from maintainer.drill.catalogue import CATALOGUE, Attack
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.matrices import Rows
from tests.support.repositories import BOTH, NEWEST, RESTIC, Repository

BOMBS = (22, 40)
"""One's config comes after what needs the repository to be open, the other's indexes after what reads them all."""


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


def copy_of(base: Repository, root: Path, kind: type[Repository] = Repository, restic: str = RESTIC) -> Maintained:
    """Return a repository of the same content, in the care of maintainer."""
    made = kind(base.sandbox, f"c-{uuid.uuid4().hex[:12]}", root, trees=dict(base.trees), backed_up=base.source, binary=restic)
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


PAIRS = ((Repository, RESTIC), (Wide, NEWEST), (Repository, NEWEST), (Wide, RESTIC))
ROWS = [(attack, kind, restic) for attack in CATALOGUE for kind, restic in PAIRS if kind is Wide or not attack.wide]
"""Each attack with each key and each restic."""


@pytest.mark.matrix(kind=lambda attack, kind, restic: attack.number)
@pytest.mark.usefixtures("timed_sandbox")
@pytest.mark.parametrize(
    ("attack", "kind", "restic"),
    ROWS,
    ids=[f"{a.number}: {a.name}, {'a wide' if kind is Wide else 'the host'}'s key, {Path(restic).name}" for a, kind, restic in ROWS],
)
def test_attack(four_days: Repository, tmp_path: Path, attack: Attack, kind: type[Repository], restic: str) -> None:
    maintained = copy_of(four_days, tmp_path, kind, restic)
    attack.act(maintained.repository, now(maintained))
    ran = maintained.run()
    found = set(ran.findings())
    assert ran.code == (3 if attack.noticed else 0), ran.why()
    assert found <= {one.value for one in attack.noticed}
    assert bool(found) == bool(attack.noticed)
    settles(maintained)


def test_attack_15_junk_that_may_not_be_deleted_covers_nothing_for_long(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """In a bucket with object lock: nothing of ours deletes a version, so that a lock on one is none on us."""
    repository = Repository(own_sandbox, "locked", tmp_path)
    repository.s3("admin").put_object_lock_configuration(
        Bucket=own_sandbox.bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    )
    repository.init()
    repository.write("file", 100_000, 1)
    repository.backup()
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 0
    until = datetime.now(UTC) + timedelta(days=3650)
    packs = repository.objects("data/")
    for key in packs:
        repository.put(key, b"junk", "admin", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"overwritten"}), ran.why()
    assert {str(event.fields["key"]) for event in ran.named("object.healed")} == set(packs)
    settles(maintained)


@pytest.mark.long
@pytest.mark.usefixtures("timed_sandbox")
@pytest.mark.matrix
@BOTH
def test_all_attacks_at_once(four_days: Repository, tmp_path: Path, restic: str, rows: Rows) -> None:
    """In an order that the seed chooses, but that what needs the true files to forge others comes before they are overwritten."""
    maintained = copy_of(four_days, tmp_path, Wide, restic)
    attacks = random.Random(rows.seed).sample(CATALOGUE, len(CATALOGUE))
    destructive = {damage.overwrite_everything, damage.hide_everything, damage.replace_config, damage.meddle_with_keys}
    for attack in sorted(attacks, key=lambda one: one.act in destructive or one.number in BOMBS):
        with suppress(ValueError, IndexError, ClientError):  # an earlier one may have taken away what this one works on
            attack.act(maintained.repository, now(maintained))
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert set(ran.findings()) >= {"garbage", "suspect-snapshot", "poisoned-index"}
    assert {"overwritten", "hidden"} & set(ran.findings())
    settles(maintained)


@pytest.mark.long
@pytest.mark.usefixtures("timed_sandbox")
@pytest.mark.matrix
@pytest.mark.parametrize("step", ["revert", "admit", "forget", "prune", "check", "commit", "mark"])
def test_attack_17_whatever_comes_while_a_run_is_going_on(four_days: Repository, tmp_path: Path, step: str) -> None:
    """The run sees what it froze, and ends well; the next finds what came, and heals it."""
    maintained = copy_of(four_days, tmp_path)
    maintained.pass_days(16)
    process = maintained.start()
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told["event"] == "step.started" and told["step"] == step:
            process.send_signal(signal.SIGSTOP)
            poison.poison(maintained.repository, poison.partly_true)
            lies.one_of_nothing(maintained.repository, now(maintained))
            lies.of_missing_data(maintained.repository, now(maintained))
            damage.litter_with_garbage(maintained.repository, now(maintained))
            damage.overwrite_everything(maintained.repository, now(maintained))
            process.send_signal(signal.SIGCONT)
    # What was overwritten between survey and heal is seen by this run or the next.
    assert process.wait() in (0, 3), step
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    left = {key.rpartition("/")[2] for key in maintained.repository.objects("snapshots/")}
    maintained.repository.trees = {snapshot: tree for snapshot, tree in maintained.repository.trees.items() if snapshot in left}
    assert len(maintained.repository.trees) >= 3
    settles(maintained)
