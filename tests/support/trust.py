"""DESIGN's trust table, row by row: who asks what of which resource, with which headers, and whether they may.

Each row is asked twice: of the endpoint, by the real request, and of the policies' documents, by `tests.support.policies`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

BACKUPS, CLINICAL, STATE = "acme-backups", "acme-clinical-backups", "acme-maintainer-state"
BODY = b"as it was"


@dataclass(frozen=True)
class Row:
    """One request. `headers` are parameters of boto3's call; `context` is what they are as condition keys."""

    who: str
    action: str
    bucket: str
    key: str
    may: bool
    headers: dict[str, Any] = field(default_factory=dict)
    context: dict[str, str] = field(default_factory=dict)

    @property
    def resource(self) -> str:
        if self.action.startswith(("ssm:", "sts:")):
            return self.key
        return f"arn:aws:s3:::{self.bucket}" + (f"/{self.key}" if self.key and "List" not in self.action else "")

    def __str__(self) -> str:
        extra = f" with {', '.join(self.headers)}" if self.headers else ""
        return f"{self.who} {'may' if self.may else 'must not'} {self.action} {self.bucket}/{self.key}{extra}"


CONDITIONAL = {"IfNoneMatch": "*"}, {"s3:if-none-match": "*", "s3:ObjectCreationOperation": "true"}
PLAIN: tuple[dict[str, Any], dict[str, str]] = {}, {"s3:ObjectCreationOperation": "true"}
HEADERS: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "SSE-C": (
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "0" * 32},
        {"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"},
    ),
    "a foreign KMS key": (
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:999999999999:key/x"},
        {
            "s3:x-amz-server-side-encryption": "aws:kms",
            "s3:x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:999999999999:key/x",
        },
    ),
    "GLACIER": ({"StorageClass": "GLACIER"}, {"s3:x-amz-storage-class": "GLACIER"}),
    "DEEP_ARCHIVE": ({"StorageClass": "DEEP_ARCHIVE"}, {"s3:x-amz-storage-class": "DEEP_ARCHIVE"}),
}
SETTINGS = (
    "s3:PutBucketVersioning",
    "s3:PutLifecycleConfiguration",
    "s3:PutBucketPolicy",
    "s3:DeleteBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutEncryptionConfiguration",
)
OBJECT_SETTINGS = ("s3:PutObjectTagging", "s3:PutObjectAcl", "s3:PutObjectRetention", "s3:PutObjectLegalHold")


def rows() -> Iterator[Row]:
    yield from _host()
    yield from _maintenance()
    yield from _controller()
    yield Row("operator", "s3:PutObject", STATE, "prod/web/judgements/00000001", True, *CONDITIONAL)
    yield Row("operator", "s3:PutObject", STATE, "prod/web/ledger/00000000", False, *PLAIN)


def _host() -> Iterator[Row]:
    def row(action: str, key: str, *, may: bool = False, bucket: str = BACKUPS, **more: Any) -> Row:
        return Row("host web", action, bucket, key, may, **more)

    def put(key: str, headers: tuple[dict[str, Any], dict[str, str]] = PLAIN, *, may: bool = False, bucket: str = BACKUPS) -> Row:
        return Row("host web", "s3:PutObject", bucket, key, may, *headers)

    yield put("web/data/new", may=True)
    yield put("web/data/new", ({"StorageClass": "STANDARD_IA"}, {"s3:x-amz-storage-class": "STANDARD_IA"}), may=True)
    yield row("s3:GetObject", "web/data/x", may=True)
    yield row("s3:ListBucket", "web/data/", may=True, context={"s3:prefix": "web/data/"})
    yield row("s3:DeleteObject", "web/locks/x", may=True)
    yield row("s3:DeleteObject", "web/data/x")
    yield row("s3:DeleteObjectVersion", "web/data/x")
    yield row("s3:DeleteObjectVersion", "web/locks/x")
    for other in ("db/data/x", "desktops/ann/data/x"):
        yield put(other)
        yield row("s3:GetObject", other)
        yield row("s3:DeleteObject", other)
    yield row("s3:DeleteObject", "db/locks/x")
    yield row("s3:ListBucket", "db/", context={"s3:prefix": "db/"})
    yield row("s3:ListBucket", "")
    yield row("s3:ListBucketVersions", "web/", context={"s3:prefix": "web/"})
    for headers in HEADERS.values():
        yield put("web/data/new", headers)
    copy = {"CopySource": {"Bucket": BACKUPS, "Key": "web/data/x"}}, {"s3:x-amz-copy-source": f"{BACKUPS}/web/data/x"}
    yield put("web/data/copied", copy)
    for action in OBJECT_SETTINGS:
        yield row(action, "web/data/x")
    for action in SETTINGS:
        yield row(action, "")
    for key in ("records/data/x",):
        yield put(key, bucket=CLINICAL)
        yield row("s3:GetObject", key, bucket=CLINICAL)
    yield put("prod/web/ledger/00000009", CONDITIONAL, bucket=STATE)
    yield row("s3:GetObject", "prod/web/ledger/00000000", bucket=STATE)
    yield row("s3:ListBucket", "prod/web/", bucket=STATE, context={"s3:prefix": "prod/web/"})
    for name in ("servers/web", "desktops/ann"):
        yield row("ssm:GetParameter", parameter(name), bucket="")


def _maintenance() -> Iterator[Row]:
    def row(action: str, key: str, *, may: bool = False, bucket: str = BACKUPS, **more: Any) -> Row:
        return Row("maintenance servers", action, bucket, key, may, **more)

    for prefix in ("web", "db"):
        yield row("s3:GetObject", f"{prefix}/data/x", may=True)
        yield row("s3:GetObjectVersion", f"{prefix}/data/x", may=True)
        yield row("s3:PutObject", f"{prefix}/data/new", may=True)
        yield row("s3:GetObjectVersionTagging", f"{prefix}/data/x", may=True)
        yield row("s3:PutObjectVersionTagging", f"{prefix}/data/x", may=True)
        yield row("s3:ListBucketVersions", f"{prefix}/", may=True, context={"s3:prefix": f"{prefix}/"})
        yield row("s3:DeleteObject", f"{prefix}/data/marked", may=True)
        yield row("s3:DeleteObjectVersion", f"{prefix}/data/x")
        yield row("ssm:GetParameter", parameter(f"servers/{prefix}"), bucket="", may=True)
    copy = {"CopySource": {"Bucket": BACKUPS, "Key": "web/data/x"}}, {"s3:x-amz-copy-source": f"{BACKUPS}/web/data/x"}
    yield Row("maintenance servers", "s3:PutObject", BACKUPS, "web/data/healed", True, *copy)
    yield row("s3:GetBucketVersioning", "", may=True)
    yield row("s3:ListBucketVersions", "")
    for bucket, prefix in ((BACKUPS, "desktops/ann"), (CLINICAL, "records")):
        for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
            yield row(action, f"{prefix}/data/x", bucket=bucket)
        yield row("s3:ListBucketVersions", f"{prefix}/", bucket=bucket, context={"s3:prefix": f"{prefix}/"})
    for name in ("desktops/ann", "clinical/records"):
        yield row("ssm:GetParameter", parameter(name), bucket="")
    yield row("ssm:PutParameter", parameter("servers/web"), bucket="")
    for action in (*SETTINGS, "s3:BypassGovernanceRetention"):
        yield row(action, "web/data/x" if "Bypass" in action else "")
    for action in OBJECT_SETTINGS:
        yield row(action, "web/data/x")

    yield Row("maintenance servers", "s3:PutObject", STATE, "prod/web/ledger/00000001", True, *CONDITIONAL)
    yield Row("maintenance servers", "s3:PutObject", STATE, "prod/web/ledger/00000000", False, *PLAIN)
    yield row("s3:GetObjectVersion", "prod/web/ledger/00000000", may=True, bucket=STATE)
    yield row("s3:ListBucketVersions", "prod/web/", may=True, bucket=STATE, context={"s3:prefix": "prod/web/"})
    yield row("s3:DeleteObject", "prod/web/ledger/00000000", bucket=STATE)
    yield row("s3:DeleteObjectVersion", "prod/web/ledger/00000000", bucket=STATE)
    yield Row("maintenance servers", "s3:PutObject", STATE, "prod/ann/ledger/00000001", False, *CONDITIONAL)
    yield row("s3:GetObject", "prod/ann/ledger/00000000", bucket=STATE)
    yield row("s3:ListBucketVersions", "prod/ann/", bucket=STATE, context={"s3:prefix": "prod/ann/"})
    for action in SETTINGS:
        yield row(action, "", bucket=STATE)


def _controller() -> Iterator[Row]:
    def row(action: str, key: str, *, may: bool = False, bucket: str = BACKUPS, **more: Any) -> Row:
        return Row("controller", action, bucket, key, may, **more)

    yield row("s3:GetObject", "prod/web/ledger/00000000", may=True, bucket=STATE)
    yield row("s3:GetObjectVersion", "prod/web/ledger/00000000", may=True, bucket=STATE)
    yield row("s3:ListBucketVersions", "prod/web/", may=True, bucket=STATE, context={"s3:prefix": "prod/web/"})
    yield Row("controller", "s3:PutObject", STATE, "prod/web/ledger/00000001", False, *CONDITIONAL)
    yield Row("controller", "s3:PutObject", STATE, "prod/_bills/2026-11/r-000000000001", True, *CONDITIONAL)
    yield Row("controller", "s3:PutObject", STATE, "prod/_bills/2026-11/r-000000000001", False, {}, {"s3:ObjectCreationOperation": "true"})
    yield Row("maintenance servers", "s3:PutObject", STATE, "prod/_bills/2026-11/r-000000000002", False, *CONDITIONAL)
    yield row("s3:DeleteObject", "prod/web/ledger/00000000", bucket=STATE)
    for bucket, key in ((BACKUPS, "web/data/x"), (CLINICAL, "records/data/x")):
        for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"):
            yield row(action, key, bucket=bucket)
        yield row("s3:ListBucket", "", bucket=bucket)
    for name in ("servers/web", "desktops/ann", "clinical/records"):
        yield row("ssm:GetParameter", parameter(name), bucket="")


def parameter(name: str) -> str:
    return f"arn:aws:ssm:us-east-1:000000000000:parameter/maintainer/{name}"


Call = Callable[[Any, str, str, str], Any]
"""Of a client, a bucket, a key and a version of it."""
_LIFECYCLE = {"Rules": [{"ID": "x", "Status": "Enabled", "Filter": {}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}]}
_OPEN = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}]}'
_SSE = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}
CALLS: dict[str, Call] = {
    "s3:GetObject": lambda s3, bucket, key, _: s3.get_object(Bucket=bucket, Key=key),
    "s3:GetObjectVersion": lambda s3, bucket, key, version: s3.get_object(Bucket=bucket, Key=key, VersionId=version),
    "s3:DeleteObject": lambda s3, bucket, key, _: s3.delete_object(Bucket=bucket, Key=key),
    "s3:DeleteObjectVersion": lambda s3, bucket, key, version: s3.delete_object(Bucket=bucket, Key=key, VersionId=version),
    "s3:BypassGovernanceRetention": lambda s3, bucket, key, version: s3.delete_object(
        Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True
    ),
    "s3:ListBucket": lambda s3, bucket, key, _: s3.list_objects_v2(Bucket=bucket, Prefix=key),
    "s3:ListBucketVersions": lambda s3, bucket, key, _: s3.list_object_versions(Bucket=bucket, Prefix=key),
    "s3:PutObjectTagging": lambda s3, bucket, key, _: s3.put_object_tagging(Bucket=bucket, Key=key, Tagging={"TagSet": []}),
    "s3:GetObjectVersionTagging": lambda s3, bucket, key, version: s3.get_object_tagging(Bucket=bucket, Key=key, VersionId=version),
    "s3:PutObjectVersionTagging": lambda s3, bucket, key, version: s3.put_object_tagging(
        Bucket=bucket, Key=key, VersionId=version, Tagging={"TagSet": [{"Key": "maintainer", "Value": "released"}]}
    ),
    "s3:PutObjectAcl": lambda s3, bucket, key, _: s3.put_object_acl(Bucket=bucket, Key=key, ACL="public-read"),
    "s3:PutObjectRetention": lambda s3, bucket, key, _: s3.put_object_retention(
        Bucket=bucket, Key=key, Retention={"Mode": "GOVERNANCE", "RetainUntilDate": "2040-01-01T00:00:00Z"}
    ),
    "s3:PutObjectLegalHold": lambda s3, bucket, key, _: s3.put_object_legal_hold(Bucket=bucket, Key=key, LegalHold={"Status": "ON"}),
    "s3:GetBucketVersioning": lambda s3, bucket, *_: s3.get_bucket_versioning(Bucket=bucket),
    "s3:PutBucketVersioning": lambda s3, bucket, *_: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "s3:PutLifecycleConfiguration": lambda s3, bucket, *_: s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=_LIFECYCLE
    ),
    "s3:PutBucketPolicy": lambda s3, bucket, *_: s3.put_bucket_policy(Bucket=bucket, Policy=_OPEN),
    "s3:DeleteBucketPolicy": lambda s3, bucket, *_: s3.delete_bucket_policy(Bucket=bucket),
    "s3:PutBucketPublicAccessBlock": lambda s3, bucket, *_: s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={}),
    "s3:PutEncryptionConfiguration": lambda s3, bucket, *_: s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration=_SSE),
}


def ask(row: Row, client: Callable[[str], Any], version: str) -> str:
    """Make the request; return `allowed`, or the code of the refusal."""
    try:
        match row.action:
            case "ssm:GetParameter":
                client("ssm").get_parameter(Name=row.key.partition("parameter")[2], WithDecryption=True)
            case "ssm:PutParameter":
                client("ssm").put_parameter(Name=row.key.partition("parameter")[2], Value="x", Type="SecureString", Overwrite=True)
            case "s3:PutObject" if "CopySource" in row.headers:
                client("s3").copy_object(Bucket=row.bucket, Key=row.key, **row.headers)
            case "s3:PutObject":
                client("s3").put_object(Bucket=row.bucket, Key=row.key, Body=BODY, **row.headers)
            case action:
                CALLS[action](client("s3"), row.bucket, row.key, version)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "allowed"
