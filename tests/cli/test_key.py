"""`maintainer key`: a password is replaced, by a host that may delete nothing, and the old one opens nothing any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.cli.test_commands import User

NEW = "quite another, much longer"


@pytest.fixture
def user(timed_sandbox: Sandbox, tmp_path: Path) -> User:
    user = User(timed_sandbox, tmp_path)
    user.repository.write("file", 100_000, 1)
    user.repository.backup()
    (tmp_path / "new").write_text(f"{NEW}\n")
    return user


def begin(user: User) -> None:
    """Make the first contact, and confirm it."""
    user("run", "--once", code=3)
    user("accept", "web")


def ids(user: User) -> dict[str, bool]:
    """Return the trusted keys, and whether the configured password opens them."""
    return {key["key"].rpartition("/")[2]: key["configured"] for key in json.loads(user("key", "list", "web", "--json"))["keys"]}


def test_a_password_is_replaced_step_by_step_and_the_old_one_opens_nothing_any_more(user: User) -> None:
    repository, config = user.repository, user.config
    begin(user)
    ((old, _),) = ids(user).items()
    new_source = f"file:{repository.root}/new"
    told = user("key", "rotate", "web", "--to", new_source)
    assert NEW not in told
    assert f"maintainer key retire web keys/{old[:8]}" in told
    (new,) = set(ids(user)) - {old}
    repository.restic("snapshots")
    assert "opens none of those that would stay" in user("key", "retire", "web", old[:12], code=2)
    user("run", "--once", code=0)  # with the old password, while the hosts are told

    config.write_text(config.read_text().replace(f"file:{repository.root}/password", new_source))
    assert ids(user) == {old: False, new: True}
    user("run", "--once", code=0)
    assert f"retires keys/{old[:8]}" in user("key", "retire", "web", old)
    user("run", "--once", code=0)
    assert repository.objects("keys/") == [f"keys/{new}"]
    assert "wrong password" in repository.restic("snapshots", check=False).stderr

    repository.password = NEW
    for snapshot in repository.trees:
        repository.verify(snapshot)
    repository.write("later", 50_000, 2)
    repository.backup()
    user("run", "--once", code=0)
    before = repository.versions()
    user("run", "--once", code=0)
    assert repository.versions() == before


def test_the_new_password_alone_will_do_for_the_run_that_pins_its_key(user: User) -> None:
    """The old one may be lost with the host that had it."""
    repository, config = user.repository, user.config
    begin(user)
    new_source = f"file:{repository.root}/new"
    user("key", "rotate", "web", "--to", new_source)
    (old,) = [one for one, configured in ids(user).items() if configured]
    config.write_text(config.read_text().replace(f"file:{repository.root}/password", new_source))
    user("key", "retire", "web", old)
    user("run", "--once", code=0)
    assert len(repository.objects("keys/")) == 1


def test_what_the_retired_key_s_holder_puts_back_is_taken_away_again(user: User) -> None:
    repository, config = user.repository, user.config
    begin(user)
    ((old, _),) = ids(user).items()
    body = repository.get(f"keys/{old}")
    new_source = f"file:{repository.root}/new"
    user("key", "rotate", "web", "--to", new_source)
    config.write_text(config.read_text().replace(f"file:{repository.root}/password", new_source))
    user("key", "retire", "web", old)
    user("run", "--once", code=0)
    repository.put(f"keys/{old}", body)
    assert "replayed" in user("run", "--once", code=3)
    assert f"keys/{old}" not in repository.objects("keys/")


def test_a_source_that_the_configuration_would_refuse_is_refused_before_anything_is_made(user: User) -> None:
    begin(user)
    before = user.repository.versions()
    assert "no source of a secret" in user("key", "rotate", "web", "--to", "new password", code=2)
    instance = "".join(f'{key} = "x"\n' for key in ("image", "instance_profile")) + f'image_digest = "{"0" * 64}"\nsubnets = ["subnet-a"]\n'
    config = user.config.read_text().replace('compute = "local"', f'compute = "ec2"\n[group.sandbox.instance]\n{instance}')
    user.config.write_text(config.replace(f"file:{user.repository.root}/password", "ssm:/maintainer/web"))
    told = user("key", "rotate", "web", "--to", f"file:{user.repository.root}/new", code=2)
    assert "--to: a source on this machine (file:); expected `ssm:`" in told
    assert user.repository.versions() == before


def test_wrong_use_changes_nothing(user: User) -> None:
    assert "no run yet" in user("key", "list", "web", code=2)
    begin(user)
    before = user.repository.versions()
    assert "the password that is configured" in user("key", "rotate", "web", "--to", f"file:{user.repository.root}/password", code=2)
    assert "can not be read" in user("key", "rotate", "web", "--to", "file:/nowhere", code=2)
    assert "no key that is trusted" in user("key", "retire", "web", "abc", code=2)
    assert user.repository.versions() == before
