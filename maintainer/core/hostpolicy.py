"""What a backup host may do in S3, as an IAM policy: put, get and list below its own prefix, and delete under its locks/ alone."""

from __future__ import annotations

import json
from typing import Any

STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR")
"""Classes that are read without a restore first; a host may use no other."""


def allow(actions: list[str], *resources: str) -> dict[str, Any]:
    """Return a statement."""
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def document(*statements: dict[str, Any]) -> str:
    """Return a policy."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def host_statements(bucket: str, prefix: str = "", *, partition: str = "aws", kms_key: str = "") -> list[dict[str, Any]]:
    """Return what a host may: no copies, no tags, no storage that can be closed later. Without a prefix in the whole bucket.

    `partition`: `aws`, `aws-cn` or another of AWS's; `kms_key`: the ARN of the key that the bucket encrypts under, if it does.
    """
    whole = f"arn:{partition}:s3:::{bucket}"
    below = f"{prefix}/" if prefix else ""
    objects = f"{whole}/{below}*"
    listing = allow(["s3:ListBucket"], whole)
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}
    return [
        allow(["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], objects),
        listing,
        allow(["s3:GetBucketLocation"], whole),
        allow(["s3:DeleteObject"], *([] if prefix else [f"{whole}/*/locks/*"]), f"{whole}/{below}locks/*"),
        *([_encrypt(kms_key)] if kms_key else []),
        _deny_put_when("NoCopies", {"Null": {"s3:x-amz-copy-source": "false"}}, objects),
        _deny_put_when("NoCustomerKeys", {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}, objects),
        _deny_put_when(
            "NoForeignKeys", _named_but("s3:x-amz-server-side-encryption-aws-kms-key-id", [kms_key] if kms_key else []), objects
        ),
        _deny_put_when("NoArchives", _named_but("s3:x-amz-storage-class", list(STORAGE_CLASSES)), objects),
    ]


def _encrypt(kms_key: str) -> dict[str, Any]:
    """Allow what S3 asks KMS for in the host's name (S3 user guide, "Using SSE-KMS"), and nothing by KMS itself."""
    region = kms_key.split(":")[3]
    statement = allow(["kms:Decrypt", "kms:GenerateDataKey"], kms_key)
    return {**statement, "Condition": {"StringLike": {"kms:ViaService": f"s3.{region}.*"}}}


def _named_but(header: str, values: list[str]) -> dict[str, Any]:
    """Return the condition that a header is there and has none of these values: a negated operator holds where it is absent, too."""
    return {"Null": {header: "false"}, **({"StringNotEquals": {header: values}} if values else {})}


def _deny_put_when(sid: str, condition: dict[str, Any], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Deny", "Action": "s3:PutObject", "Resource": resource, "Condition": condition}
