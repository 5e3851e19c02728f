"""What each identity of the trust table may do, as IAM policies (DESIGN.md, Trust)."""

from __future__ import annotations

import json
from typing import Any

STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
"""Classes that are read without a restore first; a host may use no other."""


def _document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _deny_put_when(sid: str, condition: dict[str, Any], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Deny", "Action": "s3:PutObject", "Resource": resource, "Condition": condition}


def host(bucket: str) -> str:
    """Put, get and list in the bucket, delete under locks/ alone; no copies, no tags, no storage that can be closed later."""
    objects = f"arn:aws:s3:::{bucket}/*"
    return _document(
        _allow(["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], objects),
        _allow(["s3:ListBucket", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}"),
        _allow(["s3:DeleteObject"], f"arn:aws:s3:::{bucket}/*/locks/*", f"arn:aws:s3:::{bucket}/locks/*"),
        _deny_put_when("NoCopies", {"Null": {"s3:x-amz-copy-source": "false"}}, objects),
        _deny_put_when("NoCustomerKeys", {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}, objects),
        _deny_put_when("NoForeignKeys", {"Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"}}, objects),
        # A negated operator holds where the key is absent: only a class that was named is judged.
        _deny_put_when(
            "NoArchives",
            {"Null": {"s3:x-amz-storage-class": "false"}, "StringNotEquals": {"s3:x-amz-storage-class": list(STORAGE_CLASSES)}},
            objects,
        ),
    )


def gateway(bucket: str) -> str:
    """All that a host may, for the hosts that it serves; read its certificate and their password hashes."""
    secrets = _allow(["ssm:GetParameter", "ssm:GetParametersByPath"], "arn:aws:ssm:*:*:parameter/maintainer/gateway/*")
    return _document(*json.loads(host(bucket))["Statement"], secrets)


def maintenance(bucket: str, state_bucket: str) -> str:
    """Read versions, put, tag and mark in the bucket; append to the state store; read passwords. No version is ever deleted."""
    return _document(
        _allow(
            ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{state_bucket}"
        ),
        _allow(["s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"], f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{state_bucket}"),
        _allow(
            ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:PutObjectVersionTagging"],
            f"arn:aws:s3:::{bucket}/*",
        ),
        _allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], f"arn:aws:s3:::{state_bucket}/*"),
        _allow(["ssm:GetParameter"], "arn:aws:ssm:*:*:parameter/maintainer/*"),
        _allow(["secretsmanager:GetSecretValue"], "arn:aws:secretsmanager:*:*:secret:maintainer/*"),
    )


def controller(state_bucket: str) -> str:
    """Launch and end instances, which EC2's own endpoint judges, and read the state store."""
    return _document(
        _allow(["s3:ListBucket", "s3:ListBucketVersions"], f"arn:aws:s3:::{state_bucket}"),
        _allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{state_bucket}/*"),
    )


def admin() -> str:
    """Everything: the storage administrator."""
    return _document(_allow(["*"], "*"))


def instances() -> str:
    """Say who may take the role: an instance, as EC2 does for it."""
    return _document({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
