"""Packs that were damaged before us: what restic restores of them it restores on, and after a person's word what is sound is salvaged."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from maintainer.drill import forge
from maintainer.edges import restic
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_first_contact import Mixture, compare, look
from tests.support.agents import Maintained
from tests.support.repositories import Repository


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"d-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    for number in range(6):
        made.write(f"file{number}", 30_000, number)
    made.backup()
    return made


def spoil(repository: Repository, *, cut: bool = False) -> str:
    """Let one byte of the largest pack rot, or its end be lost: of what is there no version is true. Return its key."""
    key = max(repository.objects("data/"), key=lambda key: len(repository.get(key)))
    body = repository.get(key)
    Mixture(repository, 0).destroy(key)
    repository.put(key, body[: len(body) // 2] if cut else bytes([body[0] ^ 1]) + body[1:])
    time.sleep(1.1)
    return key


@pytest.mark.parametrize("cut", [False, True], ids=["one byte", "its end"])
def test_what_is_sound_in_a_damaged_pack_is_kept_and_after_accept_salvaged(repository: Repository, *, cut: bool) -> None:
    (snapshot,) = repository.trees
    key = spoil(repository, cut=cut)
    before = look(repository)
    assert before.restored[snapshot], "restic restores some of it"
    assert len(before.restored[snapshot]) >= 2
    maintained = Maintained(repository)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (
        3,
        {"damaged-pack", "index-of-damaged-packs", "incomplete-snapshot"},
    ), ran.why()
    for day in (1, 40):
        compare(repository, before, look(repository), ran.why())
        maintained.pass_days(day)
        ran = maintained.run()
        assert (ran.code, ran.findings()) == (0, []), ran.why()
    maintained.accept()
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert key not in repository.objects("data/")
    compare(repository, before, look(repository), ran.why())
    repository.tolerated = (0, 3)
    healed = repository.backup()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["confirm-repository"]), ran.why()
    maintained.accept()
    repository.verify(healed)
    repository.verify(snapshot)
    assert maintained.run().findings("open") == []
    assert not repository.restic("check", "--read-data").returncode


def test_a_pack_over_which_restic_fails_stays_and_stops_no_run(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    key = spoil(repository)
    before = look(repository)
    maintained = Maintained(repository)
    assert maintained.run().code == 3
    maintained.accept()
    monkeypatch.setattr(restic, "repair_packs_argv", lambda _: ("repair", "packs", "no such pack"))
    for code in (3, 0):
        ran = maintained.run()
        assert ran.code in (0, code), ran.why()
        assert ran.named("salvage.failed")
        assert key in repository.objects("data/")
        compare(repository, before, look(repository), ran.why())


def test_attack_twin_what_a_host_damages_later_is_healed_or_evicted_and_excuses_no_index(repository: Repository) -> None:
    """Later a pack is there before an index names it: one whose packs are not sound is a lie, whatever in them authenticates."""
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 0
    time.sleep(1.1)
    master = repository.master_key()
    pack = forge.pack(master, [("data", b"sound", ""), ("data", b"another", "")])
    spoilt = bytes([pack.body[0] ^ 1]) + pack.body[1:]
    index = forge.index(master, {pack.id: pack.blobs})
    repository.put(pack.key, spoilt)
    repository.put(index.key, index.body)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"garbage", "poisoned-index"}), ran.why()
    assert not {pack.key, index.key} & set(repository.objects())
    for snapshot in repository.trees:
        repository.verify(snapshot)
