"""A night with a hundred hostile objects, whatever they are: the run commits, in bounded memory, and every good snapshot is whole.

`python -m tests.attacks.test_fuzz SECONDS` goes on for as long, seed after seed, and says which seed failed.
"""

from __future__ import annotations

import sys
import uuid
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_bombs import measured
from tests.support.agents import Maintained
from tests.support.hostile import Hostile
from tests.support.repositories import Repository
from tests.support.seeds import go_on

OBJECTS = 100
MOST_MEMORY_KIB = 512 << 10
SEEDS = range(28)


def survive(sandbox: Sandbox, root: Path, seed: int, *, first_contact: bool) -> None:
    """Live through a night of hostile objects, before first contact or after; AssertionError where the law does not hold."""
    repository = Repository(sandbox, f"z-{uuid.uuid4().hex[:12]}", root)
    repository.init()
    for number in range(3):
        repository.change(number, 60_000)
        repository.backup()
    maintained = Maintained(repository, Keep(last=100))
    maintained.expect_host()
    if not first_contact:
        assert maintained.run().code == 0
    for key, body, headers in Hostile(repository, seed).puts(OBJECTS):
        repository.put(key, body, **dict(headers))
    ran, memory = measured(maintained)
    assert ran.code == 3, ran.why()
    assert ran.named("run.committed")
    assert memory <= MOST_MEMORY_KIB
    if "unopened" in ran.findings():  # beside somebody else's key: it stops restic as before, until a person has decided
        maintained.judge("reject", "unopened")
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
    if "earlier-ledger" not in ran.findings():  # the first run marks nothing then, and garbage among the keys stops restic as before
        for snapshot in repository.trees:
            repository.verify(snapshot)
    else:
        assert maintained.run().code in (0, 3)
    maintained.pass_days(16)
    for key in repository.objects("locks/"):  # a host may lock the others out, with us as without; and may delete what locks them out
        repository.hide(key)
    repository.tolerated = (0, 3)  # where restic could not read the snapshot that it took for its parent
    repository.change(9, 60_000)
    repository.backup()
    again = maintained.run()
    assert again.code in (0, 3), again.why()
    assert again.named("run.committed")
    assert maintained.run().code in (0, 3)
    for snapshot in repository.trees:
        repository.verify(snapshot)


@pytest.mark.matrix(kind=lambda seed, first_contact: first_contact)
@pytest.mark.parametrize("first_contact", [False, True], ids=["later", "before first contact"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_night_of_hostile_objects(timed_sandbox: Sandbox, tmp_path: Path, seed: int, first_contact: bool) -> None:
    survive(timed_sandbox, tmp_path, seed, first_contact=first_contact)


if __name__ == "__main__":
    sys.exit(go_on(lambda sandbox, root, seed: survive(sandbox, root, seed, first_contact=seed % 3 == 0)))
