"""Packs that were damaged before us: what restic restores of them it restores on, and after a person's word what is sound is salvaged."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from maintainer.core.job import Keep
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.drill import forge
from maintainer.drill.forge import Blob
from maintainer.edges import restic
from maintainer.edges.objectstore import S3Store
from maintainer.format.crypto import decrypt, unpack
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_first_contact import Mixture, compare, dumped, look
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


def damaged(repository: Repository, *contents: bytes) -> tuple[str, list[Blob]]:
    """Put a pack of sound blobs under a name that is not its hash, as rot would leave it; return its id, and its blobs."""
    pack = forge.pack(repository.master_key(), [("data", content, "") for content in contents])
    name = os.urandom(32).hex()
    repository.put(RepositoryFile(FileType.PACK, name).key(), pack.body)
    return name, list(pack.blobs)


def put_index(repository: Repository, *packs: Mapping[str, Any]) -> str:
    """Put an index that says this; return its key."""
    made = forge.forged(FileType.INDEX, forge.seal(repository.master_key(), forge.compact({"packs": packs})))
    repository.put(made.key, made.body)
    return made.key


def said_of(repository: Repository) -> list[dict[str, Any]]:
    """Return what the repository's indexes say."""
    master = repository.master_key()
    bodies = (unpack(decrypt(master, repository.get(key)), 1 << 30) for key in repository.objects("index/"))
    return [pack for body in bodies for pack in json.loads(body)["packs"]]


Lie = Callable[[Blob], dict[str, Any]]
LIES: Mapping[str, Lie] = {
    "over another": lambda blob: replace(blob, id=os.urandom(32).hex(), offset=blob.offset + 10).entry(),
    "beyond all": lambda blob: replace(blob, id=os.urandom(32).hex(), offset=4_000_000_000, length=4_000_000_000).entry(),
    "too short": lambda _: {"id": os.urandom(32).hex(), "type": "data", "offset": 5, "length": 3},
    "a tree, too": lambda blob: {**blob.entry(), "type": "tree"},
    "another id": lambda blob: replace(blob, id=os.urandom(32).hex()).entry(),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_attack_twin_no_lie_about_a_damaged_pack_stops_its_salvage(repository: Repository, lie: Lie) -> None:
    """Put before first contact: restic itself refuses overlapping blobs, and takes all memory for what is beyond the end."""
    name, (first, second) = damaged(repository, b"a" * 1000, b"b" * 1000)
    put_index(repository, {"id": name, "blobs": [first.entry(), lie(first), second.entry()]})
    time.sleep(1.1)
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 3
    maintained.accept()
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    assert not ran.named("salvage.failed"), ran.why()
    assert RepositoryFile(FileType.PACK, name).key() not in repository.objects("data/")
    assert maintained.run().code == 0
    repository.restic("check", "--read-data")


def test_attack_twin_a_bomb_in_a_damaged_pack_is_nothing_sound(repository: Repository) -> None:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    frame = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(6_000)) + compressor.flush()
    sealed = forge.seal(repository.master_key(), frame)
    name = os.urandom(32).hex()
    key = RepositoryFile(FileType.PACK, name).key()
    repository.put(key, sealed + b"x")
    entry = {"id": os.urandom(32).hex(), "type": "data", "offset": 0, "length": len(sealed), "uncompressed_length": 1000}
    put_index(repository, {"id": name, "blobs": [entry]})
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"garbage", "index-of-missing-packs"}), ran.why()
    assert key not in repository.objects("data/")


@pytest.mark.parametrize("accepted", [False, True])
def test_attack_twin_an_index_that_comes_later_over_honest_rot_is_a_lie_and_says_nothing_of_it(
    repository: Repository, *, accepted: bool
) -> None:
    """It may claim of the damaged pack what hosts will back up tomorrow: then they would upload nothing."""
    key = spoil(repository)
    maintained = Maintained(repository)
    maintained.expect_host()
    assert maintained.run().code == 3
    time.sleep(1.1)
    if accepted:
        maintained.accept()
    tomorrow = os.urandom(100_000)
    claim = {"id": hashlib.sha256(tomorrow).hexdigest(), "type": "data", "offset": 1, "length": 100_032}
    index = put_index(repository, {"id": key[-64:], "blobs": [claim]})
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert "poisoned-index" in ran.findings()
    assert index not in repository.objects("index/")
    (repository.source / "tomorrow").write_bytes(tomorrow)
    repository.tolerated = (0, 3)
    made = repository.backup()
    assert dumped(repository, made, f"{repository.source}/tomorrow".lstrip("/")) == hashlib.sha256(tomorrow).hexdigest()
    assert maintained.run().code in (0, 3)


def test_attack_twin_a_damaged_pack_is_read_once_however_often_an_index_names_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = os.urandom(32).hex()
    key = RepositoryFile(FileType.PACK, name).key()
    repository.put(key, os.urandom(1 << 20))
    put_index(repository, *[{"id": name, "blobs": [Blob("0" * 64, "data", at, 1 << 19).entry()]} for at in range(1_000)])
    reads: list[str] = []
    read = S3Store.read

    def counted(self: S3Store, version: Any, limit: int) -> bytes:
        reads.append(version.key)
        return read(self, version, limit)

    monkeypatch.setattr(S3Store, "read", counted)
    ran = Maintained(repository).run()
    assert ran.code == 3, ran.why()
    assert reads.count(key) == 1
    assert key not in repository.objects("data/")


def test_attack_twin_an_index_that_stays_for_a_damaged_pack_goes_before_it_names_what_was_pruned(repository: Repository) -> None:
    (repository.source / "old").write_bytes(old := os.urandom(90_000))
    repository.backup(good=False)
    (repository.source / "old").unlink()
    said = said_of(repository)
    time.sleep(1.1)
    repository.backup()
    name, (sound,) = damaged(repository, b"sound")
    index = put_index(repository, *said, {"id": name, "blobs": [sound.entry()]})
    time.sleep(1.1)
    maintained = Maintained(repository, Keep(last=1))
    maintained.expect_host()
    assert maintained.run().code == 3
    assert index in repository.objects("index/")
    blob = hashlib.sha256(old).hexdigest()
    pack = next(one["id"] for one in said if any(each["id"] == blob for each in one["blobs"]))
    key = RepositoryFile(FileType.PACK, pack).key()
    for day in (16, 17, 26, 27, 40, 41):
        maintained.pass_days(day)
        assert maintained.run().code in (0, 3)
    assert key not in repository.objects("data/")
    assert index not in repository.objects("index/")
    Mixture(repository, 0).destroy(key)  # as the lifecycle rule does with what was released
    (repository.source / "old").write_bytes(old)
    repository.verify(repository.backup())
