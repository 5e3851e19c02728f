"""Strange keys: none of them drives out a key that a person accepted, or that was there before; those that would stop a host go at once."""

from __future__ import annotations

import base64
import os
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from maintainer.core.records import State
from maintainer.drill import forge
from maintainer.drill.forge import Forged, key_file
from maintainer.drill.lies import newest
from maintainer.format.crypto import MasterKey, derive
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

ANOTHER = MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)


def low(number: int) -> Forged:
    """Return a stranger's key whose name comes before most others."""
    while not (made := key_file("somebody's", ANOTHER, username=f"n{number}")).id.startswith("0"):
        pass
    return made


def put(maintained: Maintained, *keys: Forged) -> None:
    for key in keys:
        maintained.repository.put(key.key, key.body)


def prove(maintained: Maintained) -> None:
    """Restore every snapshot as the host, with its own restic and password."""
    for snapshot in maintained.repository.trees:
        maintained.repository.verify(snapshot)


@pytest.mark.parametrize("strangers", [12, 40])
def test_strangers_drive_out_no_key_that_a_person_accepted(maintained: Maintained, strangers: int) -> None:
    put(maintained, *(low(number) for number in range(strangers)))
    mine = key_file("another of mine", maintained.repository.master_key())
    put(maintained, mine)
    maintained.judge("accept", mine.key)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["new-key"] if strangers < 19 else ["garbage", "new-key"]), ran.why()
    records = maintained.fold().records
    assert records[mine.key].state is State.ADMITTED
    assert len(maintained.repository.objects("keys/")) == min(20, 2 + strangers)
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    maintained.repository.password = "another of mine"
    prove(maintained)


def test_a_stranger_among_many_is_accepted_by_the_id_that_was_told(maintained: Maintained) -> None:
    mine = key_file("another of mine", maintained.repository.master_key())
    put(maintained, *(low(number) for number in range(5)), mine)
    ran = maintained.run()
    (told,) = ran.named("finding.reported")
    assert mine.id in str(told.fields["detail"])


def another_master_key(maintained: Maintained) -> Forged:
    return key_file(maintained.repository.password, ANOTHER)


def nothing_sound(maintained: Maintained) -> Forged:
    salt = os.urandom(64)
    sealed = forge.seal(derive(maintained.repository.password, salt, n=2, r=1, p=1), b'{"mac":{}}')
    body = {"salt": base64.b64encode(salt).decode(), "data": base64.b64encode(sealed).decode()}
    return key_file("x", ANOTHER, **body)


@pytest.mark.parametrize("make", [another_master_key, nothing_sound])
def test_a_key_that_our_password_opens_to_something_else_goes_at_once(maintained: Maintained, make: Any) -> None:
    forged = make(maintained)
    put(maintained, forged)
    ran = maintained.run()
    assert (ran.code, "garbage" in ran.findings()) == (3, True), ran.why()
    assert forged.key not in maintained.repository.objects("keys/")
    prove(maintained)


def test_a_colleague_s_key_that_was_there_at_first_contact_is_none_of_the_strangers(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    repository = Repository(timed_sandbox, f"k-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    repository.write("file", 30_000, 1)
    repository.backup()
    theirs = [key_file(f"colleague {number}", repository.master_key()) for number in range(25)]
    for one in theirs:
        repository.put(one.key, one.body)
    maintained = Maintained(repository)
    maintained.expect_host()
    for expected in ((3, ["new-key"]), (0, [])):  # restic tries twenty keys: that there are more is told, and none of them evicted
        ran = maintained.run()
        assert (ran.code, ran.findings()) == expected, ran.why()
    assert {one.key for one in theirs} <= set(repository.objects("keys/"))
    stranger = low(1)
    repository.put(stranger.key, stranger.body)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    assert {one.key for one in theirs} <= set(repository.objects("keys/"))
    assert stranger.key not in repository.objects("keys/")


@pytest.mark.parametrize(
    "cost", [{"N": 2, "r": 1, "p": 1 << 23}, {"N": 2, "r": 1 << 23, "p": 1}, {"N": 1 << 17, "r": 1, "p": 1}, {"N": 1 << 20, "r": 8, "p": 1}]
)
def test_what_a_key_costs_is_counted_from_all_of_its_numbers(maintained: Maintained, cost: dict[str, int]) -> None:
    put(maintained, key_file("x", ANOTHER, **cost))
    started = time.process_time()
    ran = maintained.run()
    assert time.process_time() - started < 30
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    prove(maintained)


def test_a_flood_of_keys_before_first_contact_hides_ours_for_no_longer_than_it_takes_to_name_it(
    timed_sandbox: Sandbox, tmp_path: Path
) -> None:
    repository = Repository(timed_sandbox, f"k-{uuid.uuid4().hex[:12]}", tmp_path)
    for one in (low(number) for number in range(45)):
        repository.put(one.key, one.body)
    maintained = Maintained(repository)
    maintained.pass_days(1)
    moved = Repository(timed_sandbox, f"{repository.prefix}-before", tmp_path)
    moved.init()
    moved.write("file", 30_000, 1)
    moved.backup()
    for key in moved.objects():
        repository.put(key, moved.get(key))
    (ours,) = moved.objects("keys/")
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.why()) == (2, f"{maintained.name}: the password opens none of the 40 oldest keys, of 46 that lie there")
    maintained.limits = {**maintained.limits, "key": ours.removeprefix("keys/")[:8]}
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["new-key"]), ran.why()
    assert ours in maintained.fold().records


BROKEN = {
    "created": {"created": "2026-02-30T00:00:00Z"},
    "a name that is a list": {"username": ["root"]},
    "a name that is a number": {"hostname": 0},
    "base64 of another length": {"salt": "c3Nzcw="},
    "no sealed key": {"data": ""},
    "a sealed key of 17 bytes": {"data": base64.b64encode(b"x" * 17).decode()},
    "a number that is a text": {"r": "1"},
    "a number that is a float": {"p": 1.0},
}


@pytest.mark.matrix
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_key_file_that_restic_fails_over_is_evicted_in_the_same_run(maintained: Maintained, broken: dict[str, Any]) -> None:
    put(maintained, key_file("x", ANOTHER, **broken))
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    prove(maintained)


@pytest.mark.matrix
@pytest.mark.parametrize("folder", ["index", "keys", "snapshots", "locks"])
@pytest.mark.parametrize("name", ["{id}", "{lower}/x", "{lower}/", "{id}/a/b"])
def test_a_name_that_restic_takes_for_another_is_evicted_and_stays_away(maintained: Maintained, folder: str, name: str) -> None:
    repository = maintained.repository
    key = f"{folder}/{name.format(id='AB' * 32, lower='ab' * 32)}"
    repository.put(key, b"x")
    for _ in range(2):
        ran = maintained.run()
        assert ran.code == 3, ran.why()
        assert key not in repository.objects()
        prove(maintained)
        repository.put(key, b"x")
    maintained.judge("undelete", key)
    assert maintained.run().code in (0, 3)
    assert key in repository.objects(), "a person wants it there"


@pytest.mark.matrix
@pytest.mark.parametrize(
    "broken", [{"username": ["root"]}, {"excludes": 1}, {"parent": "ab"}, {"summary": 3}, {"original": ""}, {"uid": "x"}]
)
def test_a_snapshot_that_restic_can_not_read_is_evicted_and_backups_go_on(maintained: Maintained, broken: dict[str, Any]) -> None:
    repository = maintained.repository
    tree = newest(repository).tree
    now = datetime.now(UTC)
    made = forge.snapshot(repository.master_key(), time=now, host="web1", paths=repository.paths, tree=tree, more=broken)
    repository.put(made.key, made.body)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["garbage"]), ran.why()
    repository.write("file2", 30_000, 2)
    repository.backup()
    prove(maintained)
    assert maintained.run().code == 0


@pytest.mark.parametrize("is_older", [True, False])
def test_a_key_that_our_password_opens_to_something_else_is_not_pinned_at_first_contact(
    timed_sandbox: Sandbox, tmp_path: Path, is_older: bool
) -> None:
    repository = Repository(timed_sandbox, f"k-{uuid.uuid4().hex[:12]}", tmp_path)
    forged = key_file(repository.password, ANOTHER)
    if is_older:
        repository.put(forged.key, forged.body)
        repository.hide(forged.key)  # restic itself would stumble over it
        time.sleep(1.1)  # the store dates to the second
    repository.init()
    repository.write("file", 30_000, 1)
    repository.backup()
    repository.put(forged.key, forged.body)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, "garbage" in ran.findings()) == (3, True), ran.why()
    assert forged.key not in repository.objects("keys/")
    prove(maintained)
