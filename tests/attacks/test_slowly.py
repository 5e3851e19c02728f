"""Attacks 3, 9 and 25: slowly, over weeks and months, each step small."""

from __future__ import annotations

from pathlib import Path

from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.drill import lies
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import Guarded, guarded

WEEKS = 6


def a_week_later(one: Guarded, attacked: set[str]) -> None:
    """Back up, and overwrite a pack that was left alone so far, and that is not about to be deleted."""
    one.day += 6
    one.live(1)
    doomed = one.maintained.fold().having(State.DOOMED)
    pack = next(key for key in one.repository.objects("data/") if key not in attacked and key not in doomed)
    one.repository.put(pack, b"garbage")
    attacked.add(pack)


def test_attack_3_another_pack_each_week_while_nobody_looks(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=100))
    one.repository.tolerated = (0, 3)  # restic may not be able to read the snapshot that it takes for the parent
    attacked: set[str] = set()
    for _ in range(WEEKS):
        a_week_later(one, attacked)
    ran = one.maintained.run()
    assert set(ran.findings()) == {"overwritten"}, ran.why()
    assert {str(event.fields["key"]) for event in ran.named("object.healed")} == attacked
    one.prove_whole()


def test_attack_3_another_pack_each_week_before_each_run(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=100))
    attacked: set[str] = set()
    for _ in range(WEEKS):
        a_week_later(one, attacked)
        ran = one.maintained.run()
        assert ran.findings() == ["overwritten"], ran.why()
        assert len(ran.named("object.healed")) == 1
    one.prove_whole()


def test_attack_9_backups_stop_and_then_one_comes_that_is_fresh(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    """`within` counts from the newest: a single fresh snapshot would let all others go."""
    one = guarded(timed_sandbox, tmp_path, Keep(within="3d"))
    one.maintained.pass_days(one.day + 40)
    assert "late" in one.maintained.run().findings()
    lies.like_the_newest(one.repository, one.now)
    for day in (40, 47, 55, 70):  # new; in probation; counting, and stale; and later
        one.maintained.pass_days(one.day + day)
        ran = one.maintained.run()
        assert ran.named("run.committed"), ran.why()
        assert not ran.named("snapshot.forgotten")
    assert one.forgotten() == set()
    one.prove_whole()


def test_attack_25_a_plausible_snapshot_of_nothing_each_day(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    for day in range(1, 15):
        one.maintained.pass_days(one.day + day)
        lies.one_of_nothing(one.repository, one.now)
        ran = one.maintained.run()
        assert ran.code == 3, ran.why()
        assert "suspect-snapshot" in ran.findings(), day
    assert one.forgotten() == set()
    one.prove_whole()


def test_two_nights_of_ballast_move_nothing_that_is_usual(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    """A host that sends its own files and thrice as much junk, and the night after the junk alone: each night looks like the one before."""
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    own = list(one.repository.source.iterdir())
    one.day += 1
    one.maintained.pass_days(one.day)
    for number in range(4):
        one.repository.write(f"junk{number}", 200_000, 900 + number)
    one.honest.append(one.repository.backup(time=one.now))
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    one.day += 1
    one.maintained.pass_days(one.day)
    for file in own:
        file.unlink()
    alone = one.repository.backup(time=one.now, good=False)
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (3, ["suspect-snapshot"]), ran.why()
    (told,) = ran.named("finding.reported")
    assert told.fields["subject"] == f"snapshots/{alone}"
    assert "it was replaced" in str(told.fields["detail"])
    one.prove_whole()
