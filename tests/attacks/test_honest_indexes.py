"""Indexes that differ from their packs and accuse nobody: parts, of lost packs, of packs that can not be read, and other programs'.

Each with its attack twin: a lie in the same form is told as one.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maintainer.core.records import State
from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.format.crypto import decrypt, unpack
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_back_from_the_dead import forget_all
from tests.support.agents import Maintained
from tests.support.repositories import Repository

Packs = list[dict[str, Any]]
Form = Callable[[Packs], Iterator[dict[str, Any]]]


def halves(packs: Packs) -> Iterator[dict[str, Any]]:
    """As restic 0.9.6 could write: the blobs of a pack in two indexes, each true, and not all."""
    for of in (slice(0, None, 2), slice(1, None, 2)):
        yield {"packs": [{**pack, "blobs": pack["blobs"][of]} for pack in packs if pack["blobs"][of]]}


def rustic(packs: Packs) -> Iterator[dict[str, Any]]:
    """As rustic writes: a time for each pack, and packs to be deleted."""
    yield {"packs": [{**pack, "time": "2026-03-01T03:00:00.123456789Z"} for pack in packs], "packs_to_delete": []}


def lie(packs: Packs) -> Packs:
    """Say of the first blob that it is longer than it is."""
    first = packs[0]["blobs"][0]
    return [{**packs[0], "blobs": [{**first, "length": first["length"] + 1}, *packs[0]["blobs"][1:]]}, *packs[1:]]


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"i-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    back_up(made, 1)
    back_up(made, 2)
    return made


def back_up(repository: Repository, number: int) -> str:
    for one in range(3):
        repository.write(f"file{number}.{one}", 40_000, 10 * number + one)
    return repository.backup()


def rewrite(repository: Repository, form: Form, names: list[str] | None = None, *, lying: bool = False) -> list[str]:
    """Put these indexes, or all, in another form instead; return the keys of those."""
    key = repository.master_key()
    put: list[str] = []
    for name in names or repository.objects("index/"):
        packs: Packs = json.loads(unpack(decrypt(key, repository.get(name)), 1 << 30))["packs"]
        forget_all(repository, name)
        for raw in form(lie(packs) if lying else packs):
            made = forge.forged(FileType.INDEX, forge.seal(key, forge.compact(raw)))
            repository.put(made.key, made.body)
            put.append(made.key)
    return put


def maintain(repository: Repository) -> Maintained:
    made = Maintained(repository)
    made.expect_host()
    return made


def prove(repository: Repository, number: int) -> None:
    repository.restic("check", "--no-lock", "--read-data")
    for snapshot in list(repository.trees):
        repository.verify(snapshot)
    back_up(repository, number)


@pytest.mark.parametrize(("form", "told"), [(halves, "partial-index"), (rustic, "foreign-index")])
@pytest.mark.parametrize("when", ["before first contact", "later"])
def test_what_is_true_in_another_form_accuses_nobody(repository: Repository, form: Form, told: str, when: str) -> None:
    maintained = maintain(repository)
    if when == "later":
        assert maintained.run().code == 0
        time.sleep(1.1)  # the newest by its date, which is of whole seconds
        back_up(repository, 3)
    put = rewrite(repository, form, None if when == "before first contact" else newest(repository))
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {told}), ran.why()
    assert not set(put) & set(repository.objects())
    prove(repository, 4)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    prove(repository, 5)


def newest(repository: Repository) -> list[str]:
    s3 = repository.s3("admin")
    found = s3.list_objects_v2(Bucket=repository.sandbox.bucket, Prefix=f"{repository.prefix}/index/")["Contents"]
    last = max(found, key=lambda one: one["LastModified"])["Key"]
    return [last.removeprefix(f"{repository.prefix}/")]


def test_nights_of_another_program_are_no_news(repository: Repository) -> None:
    maintained = maintain(repository)
    rewrite(repository, rustic)
    assert maintained.run().findings() == ["foreign-index"]
    for number in (3, 4):
        time.sleep(1.1)
        back_up(repository, number)
        rewrite(repository, rustic, newest(repository))
        ran = maintained.run()
        assert (ran.code, ran.findings(), ran.findings("open")) == (0, [], ["foreign-index"]), ran.why()
        prove(repository, 10 * number)


@pytest.mark.parametrize("form", [halves, rustic])
def test_attack_twin_a_lie_in_that_form_is_a_lie(repository: Repository, form: Form) -> None:
    maintained = maintain(repository)
    rewrite(repository, form, lying=True)
    ran = maintained.run()
    assert (ran.code, "poisoned-index" in ran.findings()) == (3, True), ran.why()
    prove(repository, 3)
    assert maintained.run().code == 0


def test_a_pack_that_was_lost_before_first_contact_accuses_nobody(repository: Repository) -> None:
    lost = max(repository.objects("data/"), key=lambda key: len(repository.get(key)))
    forget_all(repository, lost)
    maintained = maintain(repository)
    ran = maintained.run()
    assert ran.code == 3
    assert {"index-of-missing-packs", "incomplete-snapshot"} >= set(ran.findings()), ran.why()
    assert "poisoned-index" not in ran.findings()
    left = set(repository.objects("data/"))
    for day in (1, 30, 60):  # restic may restore all but one file of a snapshot: nothing of it goes until a person has decided
        maintained.pass_days(day)
        ran = maintained.run()
        assert "before first contact" in str(ran.named("prune.skipped")[0].fields["reason"]), ran.why()
        assert left <= set(repository.objects("data/"))
    damaged = [key for key, record in maintained.fold().records.items() if record.state is State.INCOMPLETE]
    maintained.judge("reject", *damaged)
    maintained.run()
    assert maintained.run().named("prune.finished")


def test_attack_twin_an_index_of_packs_that_never_were_is_a_lie_later(repository: Repository) -> None:
    maintained = maintain(repository)
    assert maintained.run().code == 0
    time.sleep(1.1)  # the store dates to the second
    packs = [{"id": "ab" * 32, "blobs": [{"id": "cd" * 32, "type": "data", "offset": 0, "length": 100}]}]
    made = forge.forged(FileType.INDEX, forge.seal(repository.master_key(), forge.compact({"packs": packs})))
    repository.put(made.key, made.body)
    assert maintained.run().findings() == ["poisoned-index"]


def test_attack_twin_an_index_of_an_unreadable_pack_that_came_later_goes_so_that_no_backup_relies_on_it(repository: Repository) -> None:
    maintained = maintain(repository)
    assert maintained.run().code == 0
    time.sleep(1.1)  # the store dates to the second
    pack = forge.pack(repository.master_key(), [("data", b"what a host will have tomorrow", "")])
    s3, bucket = repository.s3("admin"), repository.sandbox.bucket
    s3.put_object(Bucket=bucket, Key=f"{repository.prefix}/{pack.key}", Body=pack.body, StorageClass="GLACIER")
    index = forge.index(repository.master_key(), {pack.id: pack.blobs})
    repository.put(index.key, index.body)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"poisoned-index", "unreadable"}), ran.why()
    assert index.key not in repository.objects()
    (repository.source / "tomorrow").write_bytes(b"what a host will have tomorrow")
    prove(repository, 3)
    assert "incomplete-snapshot" not in maintained.run().findings()


def test_indexes_of_packs_that_are_archived_stay_and_the_hosts_go_on(repository: Repository) -> None:
    s3, bucket = repository.s3("admin"), repository.sandbox.bucket
    before = set(repository.objects())
    for key in repository.objects("data/"):
        body = repository.get(key)
        forget_all(repository, key)
        s3.put_object(Bucket=bucket, Key=f"{repository.prefix}/{key}", Body=body, StorageClass="GLACIER")
    maintained = maintain(repository)
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    assert (
        {"unreadable", "index-of-unreadable-packs"}
        <= set(ran.findings())
        <= {
            "unreadable",
            "index-of-unreadable-packs",
            "incomplete-snapshot",
        }
    ), ran.why()
    assert before <= set(repository.objects())
    for day in (1, 10, 40, 80):
        maintained.pass_days(day)
        ran = maintained.run()
        assert "poisoned-index" not in ran.findings()
        assert before <= set(repository.objects()), ran.why()
