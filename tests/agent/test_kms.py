"""A bucket that encrypts under a KMS key which the configuration does not name: asked about at first contact, and not copied anew."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.repositories import Repository

KEYS = [f"arn:aws:kms:us-east-1:000000000000:key/{name}" for name in ("ours", "another")]


@pytest.fixture
def repository(sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(sandbox, f"k-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    made.write("file", 50_000, 1)
    made.backup()
    return made


def encrypt(repository: Repository, *keys: str) -> None:
    """Put every object again, each under one of these KMS keys in turn."""
    for number, name in enumerate(repository.objects()):
        if not name.startswith("locks/"):
            more = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": keys[number % len(keys)]}
            repository.put(name, repository.get(name), "admin", **more)


def test_one_key_under_all_of_it_is_asked_for(repository: Repository) -> None:
    encrypt(repository, KEYS[0])
    maintained = Maintained(repository)
    maintained.expect_host()
    before = {key for key in repository.versions() if "/maintainer/" not in key[0]}
    for _ in range(2):
        ran = maintained.run()
        assert ran.code == 2, ran.why()
        assert f'kms_key = "{KEYS[0]}"' in str(ran.named("run.failed")[0].fields["guidance"])
    assert {key for key in repository.versions() if "/maintainer/" not in key[0]} == before
    maintained.limits = {"kms_key": KEYS[0]}
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert not ran.named("object.healed")


def test_keys_of_several_are_healed(repository: Repository) -> None:
    encrypt(repository, *KEYS)
    maintained = Maintained(repository)
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"not-plain"}), ran.why()
    for snapshot in repository.trees:
        repository.verify(snapshot)
