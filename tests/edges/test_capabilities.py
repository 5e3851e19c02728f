"""What two S3s of other people's making can do, by name; and what a store that can do less is told."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from maintainer.core.job import Access
from maintainer.edges.capabilities import PROBE, Capability, Prober
from maintainer.edges.clock import SystemClock
from maintainer.edges.objectstore import S3Store
from maintainer.edges.s3 import S3
from maintainer.sandbox.daemon import Sandbox
from tests.edges.conftest import BUCKET
from tests.support.buckets import access, client
from tests.support.faulty import DENIED, NOT_IMPLEMENTED, FaultyProxy

ALL = {
    "versioning",
    "reading of versions",
    "listing of versions",
    "listing from between two keys",
    "copy of a version",
    "range of a version",
    "presigned range of a version",
    "checksum on put",
    "tags of versions",
    "lifecycle",
    "clock",
}


def probed(reached: Access, bucket: str, prefix: str) -> dict[str, Capability]:
    clock, s3 = SystemClock(), S3(reached)
    found = list(Prober(s3, bucket, prefix, S3Store(s3, bucket, prefix, clock.now), clock).probe())
    return {one.name: one for one in found}


def lacking(found: dict[str, Capability]) -> set[str]:
    return {name for name, one in found.items() if not one.holds}


def test_the_sandboxs_s3_can_do_all_but_its_copy_keeps_headers(sandbox: Sandbox) -> None:
    found = probed(access(sandbox), sandbox.bucket, f"p-{uuid.uuid4().hex}")
    assert set(found) == ALL
    assert lacking(found) == {"copy of a version"}, found
    assert "ContentEncoding" in found["copy of a version"].seen


def test_moto_is_unfit(second: Access) -> None:
    found = probed(second, BUCKET, f"p-{uuid.uuid4().hex}")
    assert set(found) == ALL
    assert lacking(found) == {"listing from between two keys", "checksum on put"}, found
    assert found["listing from between two keys"].is_unfit
    assert not found["checksum on put"].is_unfit


def test_what_was_put_is_hidden_and_may_expire(sandbox: Sandbox) -> None:
    prefix = f"p-{uuid.uuid4().hex}"
    probed(access(sandbox), sandbox.bucket, prefix)
    admin = client(sandbox, "admin")
    listed = admin.list_object_versions(Bucket=sandbox.bucket, Prefix=prefix)
    assert all(one["IsLatest"] for one in listed["DeleteMarkers"] if not one["Key"].endswith("listing"))
    assert {one["Key"] for one in listed["Versions"]} == {one["Key"] for one in listed["DeleteMarkers"] if one["IsLatest"]}
    for one in listed["Versions"]:
        assert one["Key"].startswith(f"{prefix}/{PROBE}")
        tags = admin.get_object_tagging(Bucket=sandbox.bucket, Key=one["Key"], VersionId=one["VersionId"])["TagSet"]
        assert tags == [{"Key": "maintainer", "Value": "released"}]


@pytest.mark.parametrize(
    ("refused", "name", "if_denied", "if_missing"),
    [
        (b"?tagging", "tags of versions", None, False),
        (b"X-Amz-Signature=", "presigned range of a version", False, False),
        (b"?lifecycle", "lifecycle", None, True),
        (b"x-amz-copy-source:", "copy of a version", None, False),
        (b"x-amz-checksum-sha256:", "checksum on put", None, False),
    ],
)
def test_what_is_refused_is_told_apart_from_what_is_not_there(
    sandbox: Sandbox, refused: bytes, name: str, if_denied: bool | None, if_missing: bool | None
) -> None:
    for answer, holds in ((DENIED, if_denied), (NOT_IMPLEMENTED, if_missing)):
        with FaultyProxy(sandbox.endpoint, unknown=refused, answer=answer) as proxy:
            found = probed(replace(access(sandbox), endpoint=proxy.endpoint), sandbox.bucket, f"p-{uuid.uuid4().hex}")
        assert set(found) == ALL
        assert found[name].holds is holds, found[name]
        assert {one for one, what in found.items() if not what.holds} <= {name, "copy of a version"}


@pytest.mark.parametrize(("tag", "holds"), [("released", True), ("another", False)])
def test_a_rule_that_takes_what_nobody_released_is_unfit(second: Access, tag: str, holds: bool) -> None:
    s3, bucket = S3(second), f"rules-{uuid.uuid4().hex}"
    s3.call("create_bucket", Bucket=bucket)
    s3.call("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    chosen = {"Tag": {"Key": "maintainer", "Value": tag}}
    rule = {"ID": "r", "Status": "Enabled", "Filter": chosen, "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}
    s3.call("put_bucket_lifecycle_configuration", Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    found = probed(second, bucket, "p")["lifecycle"]
    assert (found.holds, found.is_unfit) == (holds, not holds)


def test_into_a_bucket_that_keeps_no_versions_nothing_is_put(second: Access) -> None:
    s3, bucket = S3(second), f"suspended-{uuid.uuid4().hex}"
    s3.call("create_bucket", Bucket=bucket)
    for status in ("", "Enabled", "Suspended"):
        if status:
            s3.call("put_bucket_versioning", Bucket=bucket, VersioningConfiguration={"Status": status})
        if status != "Enabled":
            (only,) = probed(second, bucket, "p").values()
            assert only.is_unfit
            assert "off, or suspended" in only.seen
            assert list(s3.keys(bucket, "")) == []
