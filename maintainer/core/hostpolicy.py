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


def host_statements(bucket: str, prefix: str = "") -> list[dict[str, Any]]:
    """Return what a host may: no copies, no tags, no storage that can be closed later. Without a prefix in the whole bucket."""
    below = f"{prefix}/" if prefix else ""
    objects = f"arn:aws:s3:::{bucket}/{below}*"
    listing = allow(["s3:ListBucket"], f"arn:aws:s3:::{bucket}")
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [prefix, f"{prefix}/*"]}}
    return [
        allow(["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], objects),
        listing,
        allow(["s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}"),
        allow(["s3:DeleteObject"], *([] if prefix else [f"arn:aws:s3:::{bucket}/*/locks/*"]), f"arn:aws:s3:::{bucket}/{below}locks/*"),
        _deny_put_when("NoCopies", {"Null": {"s3:x-amz-copy-source": "false"}}, objects),
        _deny_put_when("NoCustomerKeys", {"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}, objects),
        _deny_put_when("NoForeignKeys", {"Null": {"s3:x-amz-server-side-encryption-aws-kms-key-id": "false"}}, objects),
        # A negated operator holds where the key is absent: only a class that was named is judged.
        _deny_put_when(
            "NoArchives",
            {"Null": {"s3:x-amz-storage-class": "false"}, "StringNotEquals": {"s3:x-amz-storage-class": list(STORAGE_CLASSES)}},
            objects,
        ),
    ]


def _deny_put_when(sid: str, condition: dict[str, Any], resource: str) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Deny", "Action": "s3:PutObject", "Resource": resource, "Condition": condition}
