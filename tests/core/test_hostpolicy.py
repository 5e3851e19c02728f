"""What a host may, by the policy that `maintainer enroll` gives it, judged by AWS's own rules of evaluation."""

from __future__ import annotations

import json

import pytest

from maintainer.core.hostpolicy import document, host_statements
from tests.support.policies import Request, may

OURS, FOREIGN = (f"arn:aws-cn:kms:cn-north-1:111122223333:key/{name}" for name in ("ours", "foreign"))
KEY, CLASS, COPY = "s3:x-amz-server-side-encryption-aws-kms-key-id", "s3:x-amz-storage-class", "s3:x-amz-copy-source"
BY_S3 = {"kms:ViaService": "s3.cn-north-1.amazonaws.com.cn"}
BY_HAND = {"kms:ViaService": "secretsmanager.cn-north-1.amazonaws.com.cn"}


def can(action: str, resource: str, context: dict[str, str], kms_key: str) -> bool:
    policy = json.loads(document(*host_statements("b", "web", partition="aws-cn", kms_key=kms_key)))
    return may(Request("arn:aws-cn:iam::111122223333:user/web", action, resource, context), [policy])


@pytest.mark.parametrize(
    ("action", "resource", "context", "with_key", "without"),
    [
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {}, True, True),
        ("s3:PutObject", "arn:aws:s3:::b/web/data/x", {}, False, False),
        ("s3:PutObject", "arn:aws-cn:s3:::b/db/data/x", {}, False, False),
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {KEY: OURS}, True, False),
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {KEY: FOREIGN}, False, False),
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {CLASS: "STANDARD_IA"}, True, True),
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {CLASS: "DEEP_ARCHIVE"}, False, False),
        ("s3:PutObject", "arn:aws-cn:s3:::b/web/data/x", {COPY: "b/web/data/y"}, False, False),
        ("s3:DeleteObject", "arn:aws-cn:s3:::b/web/data/x", {}, False, False),
        ("s3:DeleteObject", "arn:aws-cn:s3:::b/web/locks/x", {}, True, True),
        ("s3:DeleteObjectVersion", "arn:aws-cn:s3:::b/web/locks/x", {}, False, False),
        ("s3:ListBucket", "arn:aws-cn:s3:::b", {"s3:prefix": "web/data/"}, True, True),
        ("s3:ListBucket", "arn:aws-cn:s3:::b", {"s3:prefix": "db/"}, False, False),
        ("kms:GenerateDataKey", OURS, BY_S3, True, False),
        ("kms:Decrypt", OURS, BY_S3, True, False),
        ("kms:Decrypt", OURS, BY_HAND, False, False),
        ("kms:Decrypt", OURS, {}, False, False),
        ("kms:Decrypt", FOREIGN, BY_S3, False, False),
        ("kms:ScheduleKeyDeletion", OURS, BY_S3, False, False),
    ],
)
def test_a_host_may_what_backups_need_and_no_more(
    action: str, resource: str, context: dict[str, str], with_key: bool, without: bool
) -> None:
    assert can(action, resource, context, OURS) is with_key
    assert can(action, resource, context, "") is without
