"""The catalogue of attacks, each on a real repository with the host's own key and password: healed, told, every good snapshot whole."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository


@pytest.fixture
def maintained(sandbox: Sandbox, tmp_path: Path) -> Maintained:
    """Two good snapshots, in the care of maintainer since a first contact."""
    repository = Repository(sandbox, f"a-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for seed in (1, 2):
        repository.write(f"file{seed}", 200_000, seed)
        repository.backup()
    made = Maintained(repository)
    made.expect_host()
    ran = made.run()
    assert ran.code == 0, ran.why()
    return made


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


def overwrite_everything(repository: Repository) -> None:
    keys = repository.objects()
    for number, key in enumerate(keys):
        if key.startswith("maintainer/"):
            continue
        body = repository.get(key)
        flipped = bytearray(body)
        flipped[len(body) // 2] ^= 1
        repository.put(key, [b"", b"random" * 100, bytes(flipped), body[:-1]][number % 4])


def overwrite_a_pack_often(repository: Repository) -> None:
    key = repository.objects("data/")[0]
    size = len(repository.get(key))
    for number in range(50):
        repository.put(key, bytes([number]) * size)


def replace_config(repository: Repository) -> None:
    from os import urandom  # noqa: PLC0415

    from maintainer.format.crypto import encrypt  # noqa: PLC0415

    forged = b'{"version":2,"id":"' + b"0" * 64 + b'","chunker_polynomial":"3abc9bff07d9e5"}'
    repository.put("config", encrypt(repository.master_key(), forged, urandom(16)))


def encode_as_gzip(repository: Repository) -> None:
    for key in (*repository.objects("data/"), *repository.objects("index/"), "config"):
        repository.put(key, repository.get(key), ContentEncoding="gzip")


def hide_everything(repository: Repository) -> None:
    for key in repository.objects():
        repository.hide(key)


ATTACKS: dict[str, tuple[Callable[[Repository], None], str]] = {
    "1: every object overwritten": (overwrite_everything, "overwritten"),
    "2: one key overwritten fifty times": (overwrite_a_pack_often, "overwritten"),
    "4: everything hidden, by a policy left too wide": (hide_everything, "hidden"),
    "5: a config forged with the password": (replace_config, "overwritten"),
    "20: identical bytes with Content-Encoding": (encode_as_gzip, "not-plain"),
}


@pytest.mark.parametrize(("attack", "kind"), ATTACKS.values(), ids=ATTACKS)
def test_attack(maintained: Maintained, attack: Callable[[Repository], None], kind: str) -> None:
    attack(maintained.repository)
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert set(ran.findings()) == {kind}
    settles(maintained)
