"""Attacks 7, 8, 10, 11, 21, 25, 29, 31, 32: snapshots that lie push nothing out, and are told of on the next run."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.drill import lies
from maintainer.drill.target import Target
from maintainer.edges import restic
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import RESTIC, Repository

Lie = Callable[[Target, datetime], None]


@dataclass
class Guarded:
    """A host that backs up once a day, under the guard's own limits."""

    maintained: Maintained
    honest: list[str] = field(default_factory=list)
    day: float = 0

    @property
    def repository(self) -> Repository:
        return self.maintained.repository

    @property
    def now(self) -> datetime:
        return SystemClock(self.maintained.clock_file).now()

    def live(self, days: int) -> None:
        """Back up once a day for so many days."""
        for _ in range(days):
            self.day += 1
            self.maintained.pass_days(self.day)
            self.repository.write(f"file{self.day}", 30_000, int(self.day))
            (self.repository.source / f"file{self.day - 3}").unlink(missing_ok=True)
            self.honest.append(self.repository.backup(time=self.now))

    def forgotten(self) -> set[str]:
        left = set(self.repository.objects("snapshots/"))
        return {one for one in self.honest if f"snapshots/{one}" not in left}

    def prove_whole(self) -> None:
        """Restore every honest snapshot that the policy left, and compare it."""
        for snapshot in set(self.honest) - self.forgotten():
            self.repository.verify(snapshot)


def guarded(sandbox: Sandbox, tmp_path: Path, keep: Keep, binary: str = RESTIC) -> Guarded:
    """Return a host with six days behind it, in the care of maintainer."""
    repository = Repository(sandbox, f"l-{uuid.uuid4().hex[:12]}", tmp_path, binary=binary)
    repository.init()
    repository.write("stays", 100_000, 0)
    made = Guarded(Maintained(repository, keep, limits={}))
    made.live(6)
    made.maintained.expect_host()
    ran = made.maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    return made


LIES: dict[str, tuple[Lie, str]] = {
    "7: from the future": (lies.from_the_future, "suspect-snapshot"),
    "8: fifty of nothing": (lies.flood_of_empty, "suspect-snapshot"),
    "10: from the past": (lies.from_the_past, "suspect-snapshot"),
    "11: without its tree": (lies.of_a_missing_tree, "incomplete-snapshot"),
    "21: of nothing, with a forged summary": (lies.one_of_nothing, "suspect-snapshot"),
    "29: one blob a hundred thousand times": (lies.of_inflated_size, "suspect-snapshot"),
    "31: without a blob": (lies.of_missing_data, "incomplete-snapshot"),
    "32: six an hour": (lies.six_an_hour, "suspect-snapshot"),
    "of another host": (lies.of_another_host, "suspect-snapshot"),
    "of two readings": (lies.read_in_two_ways, "suspect-snapshot"),
}


@pytest.mark.matrix(kind=lambda lie, kind: kind)
@pytest.mark.parametrize(("lie", "kind"), LIES.values(), ids=LIES)
def test_a_lie_pushes_nothing_out(timed_sandbox: Sandbox, tmp_path: Path, lie: Lie, kind: str) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    lie(one.repository, one.now)
    ran = one.maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {kind}), ran.why()
    one.day += 15
    one.repository.tolerated = (0, 3) if lie is lies.of_a_missing_tree else (0,)
    one.live(1)
    ran = one.maintained.run()
    assert "suspect-snapshot" not in ran.findings(), ran.why()
    # A flood makes its whole day suspect, and the honest one in it: then one fewer may go.
    assert {one.honest[0]} <= one.forgotten() <= set(one.honest[:2]), ran.why()
    one.repository.restic("check", "--no-lock", check=kind != "incomplete-snapshot")
    for snapshot in one.honest[2:]:
        one.repository.verify(snapshot)


RULES = [Keep(last=4), Keep(daily=4), Keep(weekly=4), Keep(monthly=4), Keep(yearly=4), Keep(hourly=4), Keep(within="3d")]


@pytest.mark.matrix
@pytest.mark.parametrize("keep", RULES, ids=["last", "daily", "weekly", "monthly", "yearly", "hourly", "within"])
def test_attack_7_whatever_the_rule(timed_sandbox: Sandbox, tmp_path: Path, keep: Keep) -> None:
    """By itself restic would forget the honest ones for those of the future."""
    one = guarded(timed_sandbox, tmp_path, keep)
    alone = restic.policy_argv(keep)
    honest = set(restic.parse_policy(one.repository.restic(*alone).stdout).remove)
    lies.from_the_future(one.repository, one.now)
    lies.from_the_past(one.repository, one.now)
    fooled = set(restic.parse_policy(one.repository.restic(*alone).stdout).remove)
    assert (fooled & set(one.honest) > honest) is not bool(keep.within), "restic itself minds the future in `within` alone"
    one.day += 15
    one.live(1)
    assert "suspect-snapshot" in one.maintained.run().findings()
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert one.forgotten() <= honest
    one.prove_whole()
