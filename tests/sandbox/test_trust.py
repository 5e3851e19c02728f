"""What each identity of the trust table must not do is refused by the server, and what it must do works."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import client


@pytest.fixture(scope="module")
def version(sandbox: Sandbox) -> str:
    """A version id of the object `web/data/x` in the bucket, and of `prod/entry` in the state bucket."""
    admin = client(sandbox, "admin")
    admin.put_object(Bucket=sandbox.state_bucket, Key="prod/entry", Body=b"x")
    return str(admin.put_object(Bucket=sandbox.bucket, Key="web/data/x", Body=b"x")["VersionId"])


HOST_MUST_NOT: dict[str, Callable[[Any, Sandbox, str], Any]] = {
    "delete an object": lambda s3, sb, v: s3.delete_object(Bucket=sb.bucket, Key="web/data/x"),
    "delete a version": lambda s3, sb, v: s3.delete_object(Bucket=sb.bucket, Key="web/data/x", VersionId=v),
    "delete a version of a lock": lambda s3, sb, v: s3.delete_object(Bucket=sb.bucket, Key="web/locks/x", VersionId=v),
    "copy an object": lambda s3, sb, v: s3.copy_object(Bucket=sb.bucket, Key="web/data/y", CopySource=f"{sb.bucket}/web/data/x"),
    "set tags": lambda s3, sb, v: s3.put_object_tagging(
        Bucket=sb.bucket, Key="web/data/x", Tagging={"TagSet": [{"Key": "maintainer", "Value": "released"}]}
    ),
    "set an ACL": lambda s3, sb, v: s3.put_object_acl(Bucket=sb.bucket, Key="web/data/x", ACL="public-read"),
    "archive": lambda s3, sb, v: s3.put_object(Bucket=sb.bucket, Key="web/data/x", Body=b"x", StorageClass="DEEP_ARCHIVE"),
    "encrypt under its own key": lambda s3, sb, v: s3.put_object(
        Bucket=sb.bucket, Key="web/data/x", Body=b"x", SSECustomerAlgorithm="AES256", SSECustomerKey="0" * 32
    ),
    "encrypt under a foreign key": lambda s3, sb, v: s3.put_object(
        Bucket=sb.bucket, Key="web/data/x", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="foreign"
    ),
    "suspend versioning": lambda s3, sb, v: s3.put_bucket_versioning(Bucket=sb.bucket, VersioningConfiguration={"Status": "Suspended"}),
    "change lifecycle": lambda s3, sb, v: s3.put_bucket_lifecycle_configuration(
        Bucket=sb.bucket, LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}
    ),
    "change the policy": lambda s3, sb, v: s3.put_bucket_policy(Bucket=sb.bucket, Policy="{}"),
    "read the state store": lambda s3, sb, v: s3.get_object(Bucket=sb.state_bucket, Key="prod/entry"),
    "write the state store": lambda s3, sb, v: s3.put_object(Bucket=sb.state_bucket, Key="prod/x", Body=b"x"),
    "list the state store": lambda s3, sb, v: s3.list_objects_v2(Bucket=sb.state_bucket),
}

MAINTENANCE_MUST_NOT: dict[str, Callable[[Any, Sandbox, str], Any]] = {
    "delete a version": lambda s3, sb, v: s3.delete_object(Bucket=sb.bucket, Key="web/data/x", VersionId=v),
    "delete a ledger entry": lambda s3, sb, v: s3.delete_object(Bucket=sb.state_bucket, Key="prod/entry"),
    "suspend versioning": lambda s3, sb, v: s3.put_bucket_versioning(Bucket=sb.bucket, VersioningConfiguration={"Status": "Suspended"}),
    "change lifecycle": lambda s3, sb, v: s3.put_bucket_lifecycle_configuration(
        Bucket=sb.bucket, LifecycleConfiguration={"Rules": [{"Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}]}
    ),
}


@pytest.mark.parametrize("act", HOST_MUST_NOT.values(), ids=HOST_MUST_NOT)
def test_a_host_must_not(sandbox: Sandbox, version: str, act: Callable[[Any, Sandbox, str], Any]) -> None:
    with pytest.raises(ClientError) as refused:
        act(client(sandbox, "host"), sandbox, version)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


@pytest.mark.parametrize("act", MAINTENANCE_MUST_NOT.values(), ids=MAINTENANCE_MUST_NOT)
def test_the_maintenance_instance_must_not(sandbox: Sandbox, version: str, act: Callable[[Any, Sandbox, str], Any]) -> None:
    with pytest.raises(ClientError) as refused:
        act(client(sandbox, "maintenance"), sandbox, version)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_host_may_put_get_list_and_unlock(sandbox: Sandbox) -> None:
    s3 = client(sandbox, "host")
    for key in ("own/data/x", "own/locks/x"):
        s3.put_object(Bucket=sandbox.bucket, Key=key, Body=b"x")
    assert s3.get_object(Bucket=sandbox.bucket, Key="own/data/x")["Body"].read() == b"x"
    s3.delete_object(Bucket=sandbox.bucket, Key="own/locks/x")
    listed = s3.list_objects_v2(Bucket=sandbox.bucket, Prefix="own/")["Contents"]
    assert [entry["Key"] for entry in listed] == ["own/data/x"]


def test_the_maintenance_instance_may_copy_a_version_mark_and_append(sandbox: Sandbox, version: str) -> None:
    s3 = client(sandbox, "maintenance")
    s3.copy_object(
        Bucket=sandbox.bucket, Key="web/data/x", CopySource={"Bucket": sandbox.bucket, "Key": "web/data/x", "VersionId": version}
    )
    s3.delete_object(Bucket=sandbox.bucket, Key="web/data/x")
    s3.put_object(Bucket=sandbox.state_bucket, Key="prod/next", Body=b"x", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket=sandbox.state_bucket, Key="prod/next", Body=b"x", IfNoneMatch="*")


def test_a_ranged_read_of_a_version_gets_the_range_alone(sandbox: Sandbox) -> None:
    s3 = client(sandbox, "admin")
    put = s3.put_object(Bucket=sandbox.bucket, Key="own/range", Body=b"0123456789")
    got = s3.get_object(Bucket=sandbox.bucket, Key="own/range", VersionId=put["VersionId"], Range="bytes=2-4")
    assert (got["Body"].read(), got["ContentRange"]) == (b"234", "bytes 2-4/10")
