"""First contact asks which repository lies there, where two readings are possible, and changes nothing until a person has answered."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

import pytest

from maintainer.agent import readings
from maintainer.core.entries import READING_AT
from maintainer.core.records import ADOPTED
from maintainer.format.files import open_key, parse_config, parse_key
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained, Ran
from tests.support.repositories import Repository


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    return Repository(timed_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)


def init(repository: Repository) -> None:
    """Let restic itself make a repository, with a key and an id of its own."""
    repository.restic("init", "--repository-version", "2")
    time.sleep(1.1)  # stores date to the second


def back_up(repository: Repository, number: int) -> str:
    repository.write(f"file{number}", 50_000, number)
    return repository.backup()


def clear(repository: Repository) -> None:
    """Do as `aws s3 rm --recursive` does in a versioned bucket."""
    for key in repository.objects():
        repository.hide(key)
    repository.trees.clear()
    time.sleep(1.1)


def maintain(repository: Repository) -> tuple[Maintained, Ran]:
    made = Maintained(repository)
    made.expect_host()
    return made, made.run()


def prove(repository: Repository) -> None:
    """Let the host check, restore all that it could before, and back up."""
    repository.restic("check", "--read-data", "--no-lock")
    for snapshot in list(repository.trees):
        repository.verify(snapshot)
    back_up(repository, 99)


def codes(ran: Ran) -> list[str]:
    return re.findall(f"{READING_AT}[0-9a-f]{{32}}", str([event.fields["guidance"] for event in ran.named("run.failed")]))


def test_what_was_begun_anew_over_a_repository_that_was_deleted_is_what_is_maintained(repository: Repository) -> None:
    init(repository)
    back_up(repository, 1)
    clear(repository)
    init(repository)
    back_up(repository, 2)
    back_up(repository, 3)
    before = set(repository.objects())
    maintained, ran = maintain(repository)
    assert (ran.code, ran.findings()) == (3, ["earlier-repository"]), ran.why()
    assert before <= set(repository.objects())
    prove(repository)
    for day in (1, 20, 40):
        maintained.pass_days(day)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        assert set(ran.findings()) <= {"late", "suspect-snapshot"}, ran.why()
    prove(repository)


def init_over(repository: Repository, root: Path) -> None:
    """Do as `restic init` before 0.17 does where a config is lost: it minds no keys."""
    repository.hide("config")
    time.sleep(1.1)
    put_another(repository, root)


def put_another(repository: Repository, root: Path, *numbers: int) -> None:
    """Put all of another repository of the same password, with as many backups."""
    other = Repository(repository.sandbox, f"o-{uuid.uuid4().hex[:12]}", root / "other")
    init(other)
    for number in numbers:
        back_up(other, number)
    for key in other.objects():
        if not key.startswith("locks/"):
            repository.put(key, other.get(key))


def test_init_over_a_lost_config_is_asked_about_and_nothing_is_changed(repository: Repository, tmp_path: Path) -> None:
    """The old key's files are there, and a config that does not belong to them."""
    init(repository)
    first = back_up(repository, 1)
    init_over(repository, tmp_path)
    versions = repository.versions()
    maintained, ran = maintain(repository)
    assert (ran.code, len(codes(ran))) == (4, 2), ran.why()
    assert repository.versions() == versions
    assert maintained.run().code == 4
    right = next(code for code in codes(ran) if _is_for(ran, code, hidden=True))
    maintained.judge("accept", right)
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    repository.verify(first)
    prove(repository)


def _is_for(ran: Ran, code: str, *, hidden: bool) -> bool:
    """Tell whether a code is that of the reading whose config is hidden, by what the message says of each."""
    (failed,) = ran.named("run.failed")
    (name,) = re.findall(f"for id ([0-9a-f]{{8}}): maintainer accept [^ ]+ {code}", str(failed.fields["guidance"]))
    (said,) = re.findall(f"id {name} [^;]*", str(failed.fields["reason"]))
    return ("hidden by a delete marker" in said) is hidden


def test_attack_twin_a_flood_of_configs_hides_none(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "MOST_CONFIGS", 4)
    init(repository)
    first = back_up(repository, 1)
    for number in range(20):
        repository.put("config", b"junk %d" % number)
    maintained, ran = maintain(repository)
    assert (ran.code, ran.findings()) == (3, ["overwritten"]), ran.why()
    repository.verify(first)
    prove(repository)
    assert maintained.run().code == 0


def test_attack_twin_a_second_config_and_key_without_any_file_changes_nothing(repository: Repository, tmp_path: Path) -> None:
    """Whoever may put before first contact puts a config of another repository, with its key, over the true one: it is healed."""
    init(repository)
    first = back_up(repository, 1)
    put_another(repository, tmp_path)
    maintained, ran = maintain(repository)
    assert ran.code == 3, ran.why()
    assert set(ran.findings()) == {"overwritten", "garbage"}, ran.why()
    repository.verify(first)
    prove(repository)
    assert maintained.run().code == 0


def test_attack_twin_two_that_are_both_supported_are_asked_about_and_the_chosen_one_is_maintained(
    repository: Repository, tmp_path: Path
) -> None:
    init(repository)
    first = back_up(repository, 1)
    put_another(repository, tmp_path, 2)
    maintained, ran = maintain(repository)
    assert (ran.code, len(codes(ran))) == (4, 2), ran.why()
    config = first_id(repository)
    maintained.judge(
        "accept", next(code for code in codes(ran) if f"for id {config[:8]}: maintainer accept {maintained.name} {code}" in guidance(ran))
    )
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    repository.verify(first)
    prove(repository)


def guidance(ran: Ran) -> str:
    return str(ran.named("run.failed")[0].fields["guidance"])


def first_id(repository: Repository) -> str:
    """Return the id of the repository that was there first, by its oldest config."""

    s3, bucket = repository.s3("admin"), repository.sandbox.bucket
    versions = s3.list_object_versions(Bucket=bucket, Prefix=f"{repository.prefix}/config")["Versions"]
    body = s3.get_object(Bucket=bucket, Key=versions[-1]["Key"], VersionId=versions[-1]["VersionId"])["Body"].read()
    for key in repository.objects("keys/"):
        try:
            return parse_config(open_key(parse_key(repository.get(key)), repository.password), body).id
        except ValueError:
            continue
    raise AssertionError(repository.prefix)


def test_two_of_an_empty_repository_are_asked_about(repository: Repository, tmp_path: Path) -> None:
    init(repository)
    put_another(repository, tmp_path)
    versions = repository.versions()
    _, ran = maintain(repository)
    assert (ran.code, len(codes(ran))) == (4, 2), ran.why()
    assert repository.versions() == versions


def test_what_markers_alone_hide_is_asked_about(repository: Repository) -> None:
    init(repository)
    first = back_up(repository, 1)
    kept = dict(repository.trees)
    clear(repository)
    versions = repository.versions()
    maintained, ran = maintain(repository)
    assert (ran.code, len(codes(ran))) == (4, 1), ran.why()
    assert repository.versions() == versions
    maintained.judge("accept", codes(ran)[0])
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"hidden", "hidden-before-first-contact"}), ran.why()
    maintained.judge("undelete", *(key for key, record in maintained.fold().records.items() if record.reason == ADOPTED))
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    repository.trees = kept
    repository.verify(first)


def test_another_repository_s_location_under_a_known_name_is_refused_and_nothing_is_touched(repository: Repository, tmp_path: Path) -> None:
    init(repository)
    back_up(repository, 1)
    maintained, ran = maintain(repository)
    assert ran.code == 0, ran.why()
    other = Repository(repository.sandbox, f"o-{uuid.uuid4().hex[:12]}", tmp_path / "other")
    init(other)
    back_up(other, 2)
    moved = Maintained(other, name=maintained.name)
    versions = other.versions()
    for _ in range(2):
        ran = moved.run()
        assert ran.code == 4, ran.why()
        assert f"this is another repository (id {first_id(other)[:8]}) than the one that was pinned" in ran.why()
        assert "correct the location of" in str(ran.named("run.failed")[0].fields["guidance"])
    assert other.versions() == versions
    assert maintained.run().code == 0
    other.password = "nobody knows it"
    assert moved.run().code == 4


def test_attack_twin_whoever_overwrites_and_hides_everything_holds_nothing_up(repository: Repository, tmp_path: Path) -> None:
    init(repository)
    first = back_up(repository, 1)
    maintained, ran = maintain(repository)
    for key in repository.objects():
        repository.hide(key)
    put_another(repository, tmp_path, 7)
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    repository.verify(first)
