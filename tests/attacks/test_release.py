"""Attack 27, and expiry in ordinary times: the lifecycle rule takes what was released, and nothing that anybody needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maintainer.core.job import Keep
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import guarded
from tests.support.buckets import without
from tests.support.faulty import FaultyProxy
from tests.support.repositories import BOTH, Repository


def noncurrent(repository: Repository) -> list[dict[str, Any]]:
    s3, bucket = repository.s3("admin"), repository.sandbox.bucket
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=f"{repository.prefix}/")
    return [version for page in pages for version in page.get("Versions", ()) if not version["IsLatest"]]


def is_released(repository: Repository, version: dict[str, Any]) -> bool:
    found = repository.s3("admin").get_object_tagging(Bucket=repository.sandbox.bucket, Key=version["Key"], VersionId=version["VersionId"])
    return {"Key": "maintainer", "Value": "released"} in found["TagSet"]


def expire(repository: Repository) -> int:
    """Delete all that the rule would, however long it waits: noncurrent versions with the tag. Return how many."""
    gone = [version for version in noncurrent(repository) if is_released(repository, version)]
    for version in gone:
        repository.s3("admin").delete_object(Bucket=repository.sandbox.bucket, Key=version["Key"], VersionId=version["VersionId"])
    return len(gone)


def test_what_was_forgotten_and_healed_expires_in_its_time_and_nothing_else(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    healed = f"snapshots/{one.honest[-1]}"
    one.repository.put(healed, b"garbage")
    assert one.maintained.run().findings() == ["overwritten"]
    one.day += 20
    one.live(1)
    assert one.maintained.run().named("snapshot.forgotten")
    assert not any(is_released(one.repository, version) for version in noncurrent(one.repository))
    one.day += 14
    one.live(1)
    ran = one.maintained.run()
    assert ran.named("versions.released"), ran.why()
    oldest = f"{one.repository.prefix}/snapshots/{one.honest[0]}"
    gone = [version["Key"] for version in noncurrent(one.repository) if is_released(one.repository, version)]
    assert gone.count(f"{one.repository.prefix}/{healed}") == 2  # the garbage, and what it covered
    assert oldest not in gone
    assert expire(one.repository) == len(gone)
    one.day += 30
    one.live(1)
    one.maintained.run()
    assert is_released(one.repository, next(version for version in noncurrent(one.repository) if version["Key"] == oldest))
    assert expire(one.repository) > 0
    one.maintained.run()  # what the run before has marked at its end
    before = one.repository.versions()
    ran = one.maintained.run()
    assert (ran.code, ran.named("versions.released")) == (0, [])
    assert one.repository.versions() == before
    one.prove_whole()


@pytest.mark.matrix
@BOTH
def test_attack_27_what_maintenance_did_not_see_never_expires(timed_sandbox: Sandbox, tmp_path: Path, restic: str) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4), restic)
    for key in one.repository.objects("data/") + one.repository.objects("snapshots/"):
        one.repository.put(key, b"garbage")
    one.maintained.pass_days(400)
    assert expire(one.repository) == 0
    assert set(one.maintained.run().findings()) >= {"overwritten", "late"}
    assert expire(one.repository) == 0
    one.prove_whole()


def test_a_run_that_dies_before_it_has_tagged_leaves_it_to_the_next(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    one.repository.put(one.repository.objects("data/")[0], b"garbage")
    one.maintained.run()
    one.maintained.pass_days(one.day + 40)
    process = one.maintained.start()
    assert process.stdout is not None
    for line in process.stdout:
        if '"run.committed"' in line:
            process.kill()
            break
    process.wait()
    one.maintained.run()
    assert len([version for version in noncurrent(one.repository) if is_released(one.repository, version)]) >= 2
    before = one.repository.versions()
    assert not one.maintained.run().named("versions.released")
    assert one.repository.versions() == before
    one.prove_whole()


def test_without_the_right_to_tag_the_run_says_so_and_what_was_not_tagged_is_later(strict_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(strict_sandbox, tmp_path, Keep(last=4))
    with without(strict_sandbox, "s3:PutObjectVersionTagging"):
        for _ in range(2):  # each of the two leaves something untagged
            one.repository.put(one.repository.objects("data/")[0], b"garbage")
            one.maintained.run()
            one.day += 40
            one.live(1)
            ran = one.maintained.run()
            assert (ran.code, bool(ran.named("run.committed"))) == (2, True)
            assert "allow s3:PutObjectVersionTagging" in str([event.fields["guidance"] for event in ran.named("run.failed")])
    assert expire(one.repository) == 0
    gone = next(version for version in noncurrent(one.repository) if version["Size"] == len(b"garbage"))  # by another rule
    one.repository.s3("admin").delete_object(Bucket=one.repository.sandbox.bucket, Key=gone["Key"], VersionId=gone["VersionId"])
    ran = one.maintained.run()
    assert len(ran.named("versions.released")) > 1, ran.why()
    assert expire(one.repository) > 1
    assert not one.maintained.run().named("versions.released")
    one.prove_whole()


def test_a_store_that_knows_no_tags_is_told_of_and_nothing_expires_in_it(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    one.repository.put(one.repository.objects("data/")[0], b"garbage")
    one.maintained.run()
    one.day += 40
    one.live(1)
    with FaultyProxy(timed_sandbox.endpoint, unknown=b"?tagging") as proxy:
        ran = one.maintained.run_through(proxy.endpoint)
    assert ran.code in (0, 3), ran.why()
    (told,) = ran.named("release.failed")
    assert "NotImplemented" in str(told.fields["reason"])
    assert expire(one.repository) == 0
    one.prove_whole()


def test_a_rule_that_takes_what_nobody_released_is_told_with_the_date(own_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(own_sandbox, tmp_path, Keep(last=4))
    rule = {"ID": "x", "Status": "Enabled", "Filter": {"Prefix": ""}, "NoncurrentVersionExpiration": {"NoncurrentDays": 10}}
    s3 = one.repository.s3("admin")
    s3.put_bucket_lifecycle_configuration(Bucket=own_sandbox.bucket, LifecycleConfiguration={"Rules": [rule]})
    one.repository.put(one.repository.objects("data/")[0], b"garbage")
    ran = one.maintained.run()
    assert ran.findings() == ["evidence-expires", "overwritten"]
    (told,) = [str(event.fields["detail"]) for event in ran.named("finding.reported") if event.fields["kind"] == "evidence-expires"]
    assert "after 10 days" in told
    assert "the first is data/" in told
    rule["Filter"] = {"Tag": {"Key": "maintainer", "Value": "released"}}
    s3.put_bucket_lifecycle_configuration(Bucket=own_sandbox.bucket, LifecycleConfiguration={"Rules": [rule]})
    assert one.maintained.run().code == 0


def test_true_bytes_that_are_put_with_the_tag_are_copied_to_plain_ones(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    """Nothing of ours ever tagged them; covered by anything, they would expire."""
    one = guarded(timed_sandbox, tmp_path, Keep())
    keys = one.repository.objects()
    for key in keys:
        if not key.startswith(("maintainer/", "locks/")):
            one.repository.put(key, one.repository.get(key), Tagging="maintainer=released&team=it")
    ran = one.maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"not-plain"}), ran.why()
    for key in keys:
        one.repository.put(key, b"garbage")
    assert expire(one.repository) > 0
    assert one.maintained.run().code == 3
    one.prove_whole()


def test_a_good_version_that_somebody_tagged_is_told_of_and_its_tag_taken_off(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    s3, bucket = one.repository.s3("admin"), one.repository.sandbox.bucket
    key = f"{one.repository.prefix}/snapshots/{one.honest[-1]}"
    tags = [{"Key": "maintainer", "Value": "released"}, {"Key": "team", "Value": "it"}]
    s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": tags})
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (3, ["tagged-released"]), ran.why()
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{**tags[0], "Value": "kept"}, tags[1]]
    ran = one.maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()


def test_a_store_whose_tags_may_not_be_seen_is_maintained_as_before(strict_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(strict_sandbox, tmp_path, Keep(last=4))
    with without(strict_sandbox, "s3:GetObjectVersionTagging"):
        ran = one.maintained.run()
        assert (ran.code, ran.findings(), ran.named("tags.compared")) == (0, [], []), ran.why()
