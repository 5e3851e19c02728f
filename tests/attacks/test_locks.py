"""Attack 14: the bucket's locks stop no run. A live backup's keeps doomed packs where they are, up to a limit, however fresh it is kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from maintainer.core.job import Keep
from maintainer.core.moments import to_text
from maintainer.core.repofiles import FileType
from maintainer.drill import damage, forge
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import Guarded, guarded


def hold(one: Guarded, at: datetime, *, exclusive: bool = False) -> None:
    raw = {"time": to_text(at), "exclusive": exclusive, "hostname": "web1", "username": "root", "pid": 1}
    lock = forge.forged(FileType.LOCK, forge.seal(one.repository.master_key(), forge.compact(raw)))
    one.repository.put(lock.key, lock.body)


def test_a_live_backup_is_respected_up_to_a_limit(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=3))
    one.day += 20
    one.live(1)
    ran = one.maintained.run()
    assert ran.named("snapshot.forgotten"), ran.why()
    doomed = {key for key, record in one.maintained.fold().records.items() if key.startswith("data/") and record.state.value == "doomed"}
    assert doomed
    one.day += 8
    one.live(1)
    hold(one, one.now)
    ran = one.maintained.run()
    (told,) = ran.named("marking.postponed")
    assert "a backup of 'web1' is going on" in str(told.fields["reason"])
    assert doomed <= set(one.repository.objects("data/"))
    one.day += 6
    one.live(1)
    hold(one, one.now)
    assert one.maintained.run().code in (0, 3)
    assert not doomed & set(one.repository.objects("data/"))
    for snapshot in set(one.honest) - one.forgotten():
        one.repository.verify(snapshot)


def test_a_stale_and_an_exclusive_lock_and_garbage_hold_nothing(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=3))
    one.day += 20
    one.live(1)
    one.maintained.run()
    one.day += 8
    one.live(1)
    hold(one, one.now + timedelta(days=3000))
    one.maintained.pass_days(one.day + 0.03)
    hold(one, one.now, exclusive=True)
    for key in one.repository.objects("locks/")[:1]:
        one.repository.put(key, b"garbage")
    damage.litter_with_garbage(one.repository, one.now)
    ran = one.maintained.run()
    assert not ran.named("marking.postponed"), ran.why()
    assert [event for event in ran.named("object.marked") if str(event.fields["key"]).startswith("data/")]
