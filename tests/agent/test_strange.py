"""Names that restic would not give, objects without a byte, repositories inside others, and the oldest format."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from maintainer.core.events import escape
from maintainer.core.job import Keep
from maintainer.sandbox.daemon import Sandbox
from tests.agent.test_history import forget_the_first, grow, watched, whole
from tests.support.agents import Maintained
from tests.support.repositories import Repository

ID = hashlib.sha256(b"what nobody wrote").hexdigest()
EMPTY = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"s-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


def strange_names(prefix: str) -> list[str]:
    """Names that look like restic's and are not, or look like nothing."""
    return [
        f"data/{ID}",
        f"data/{ID[:2]}/{ID.upper()}",
        f"data/{'00' if ID[:2] != '00' else '01'}/{ID}",
        f"data/{ID[:2]}/{ID}.tmp",
        f"data/{ID[:2]}/{ID[:-1]}",
        f"data/{ID[:2]}/",
        f"snapshots/{ID}0",
        f"Snapshots/{ID}",
        f"index/{ID} ",
        f"keys/.{ID}",
        "config/",
        "config~",
        "line\nbreak\r\n",
        "tab\there",
        "100%25%zz%",
        "a+b c&d<e>\"f'",
        "\u00e4\u2028\U0001f512\u202e",
        "\x1b[2J\x07",
        "../../other/config",
        "x" * (1024 - len(prefix) - 1),
        "\u20ac" * ((1024 - len(prefix) - 1) // 3),
    ]


def test_names_that_restic_would_not_give_are_told_and_left_alone(repository: Repository) -> None:
    names = strange_names(repository.prefix)
    grow(repository, 2)
    for name in names[::2]:
        repository.put(name, b"before first contact", identity="admin")  # to the sandbox's IAM a `*` matches no newline
    maintained = Maintained(repository, keep=Keep(last=1))
    maintained.expect_host()
    ran = maintained.run()
    assert set(ran.findings()) == {"foreign-name"}, ran.why()
    for name in names:
        repository.put(name, b"", identity="admin")
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert set(ran.findings()) == {"foreign-name"}
    told = {str(event.fields["subject"]) for event in ran.named("finding.reported")}
    assert told == set(map(escape, names)), "by their own names, and nothing in them plays with a terminal"
    assert maintained.run().code == 0
    forget_the_first(maintained)
    assert set(names) <= set(repository.objects()), "nothing of them was marked"
    whole(repository, *list(repository.trees)[:1])


def test_objects_without_a_byte_under_names_of_restics(repository: Repository) -> None:
    """Both those whose name is not their hash, and those that are what their name says: nothing."""
    grow(repository, 2)
    maintained = watched(repository)
    truly_empty = [f"{kind}/{EMPTY}" for kind in ("snapshots", "index", "keys")] + [f"data/{EMPTY[:2]}/{EMPTY}"]
    emptied = [*repository.objects("data/")[:1], *repository.objects("index/")[:1], *repository.objects("snapshots/")[:1], "config"]
    for name in (f"data/{ID[:2]}/{ID}", f"index/{ID}", f"snapshots/{ID}", *truly_empty, *emptied):
        repository.put(name, b"")
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert set(ran.findings()) == {"garbage", "overwritten"}
    assert not set(truly_empty) & set(repository.objects())
    assert maintained.run().code == 0
    whole(repository)


def test_a_prefix_in_which_other_repositories_lie_is_refused_by_their_names(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = Repository(repository.sandbox, f"{repository.prefix}/inner", tmp_path / "inner")
    inner.init()
    grow(repository, 1)
    before = repository.versions()
    ran = Maintained(repository).run()
    assert ran.code == 2
    assert "inner" in ran.why()
    assert repository.versions() == before, "nothing was put or hidden"
    assert Maintained(inner).run().code in (0, 3)


def test_what_looks_like_another_repository_later_holds_up_nobody(repository: Repository) -> None:
    grow(repository, 1)
    maintained = watched(repository)
    for name in ("config", f"keys/{ID}", f"data/{ID[:2]}/{ID}"):
        repository.put(f"inner/{name}", b"an attacker's")
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"foreign-name"})
    whole(repository)


def test_a_repository_of_format_1_is_maintained_like_any_other(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    old = Repository(timed_sandbox, f"s-{uuid.uuid4().hex[:12]}", tmp_path)
    old.restic("init", "--repository-version", "1")
    grow(old, 3)
    maintained = watched(old, keep=Keep(last=1))
    for key in old.objects("data/")[:1]:
        old.put(key, b"garbage")
    ran = maintained.run()
    assert set(ran.findings()) == {"overwritten"}
    maintained.pass_days(15)
    ran = maintained.run()
    assert len(ran.named("snapshot.forgotten")) == 2
    assert ran.code == 0
    old.verify(list(old.trees)[-1])
