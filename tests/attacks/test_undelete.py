"""A person takes back what the policy let go: the snapshot, and all that it needs, from under the markers."""

from __future__ import annotations

from pathlib import Path

from maintainer.core.job import Keep
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import guarded


def test_a_forgotten_snapshot_comes_back_with_packs_that_are_marked(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=3))
    one.day += 20
    one.live(1)
    assert one.maintained.run().named("snapshot.forgotten")
    packs = set(one.repository.objects("data/"))
    one.day += 9
    one.live(1)
    one.maintained.run()
    assert packs - set(one.repository.objects("data/"))
    oldest = one.honest[0]
    assert oldest in one.forgotten()
    one.maintained.judge("undelete", f"snapshots/{oldest}")
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert ran.named("object.taken_back")
    one.repository.verify(oldest)
    for days in (3, 12, 30):
        one.day += days
        one.live(1)
        ran = one.maintained.run()
        assert ran.code in (0, 3), ran.why()
        one.repository.verify(oldest)
    one.repository.restic("check", "--no-lock", "--read-data")
