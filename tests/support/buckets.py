"""The sandbox's buckets as tests use them: as the host, as the attacker with its key, and as the maintenance identity."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

from maintainer.core.job import Access
from maintainer.edges.clock import SystemClock
from maintainer.edges.objectstore import S3Store
from maintainer.edges.s3 import S3
from maintainer.sandbox import policies
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import Credentials


def client(sandbox: Sandbox, identity: str) -> Any:
    """Return boto3's own S3 client for an identity, without repeats."""
    return client_of(sandbox.endpoint, sandbox.region, sandbox.credentials[identity])


@cache
def client_of(endpoint: str, region: str, key: Credentials) -> Any:
    """Return the same for any key."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}),
    )


@contextmanager
def without(sandbox: Sandbox, action: str) -> Iterator[None]:
    """Take a right from the maintenance identity, for a while."""
    iam = boto3.client(
        "iam", endpoint_url=sandbox.endpoint, region_name=sandbox.region, aws_access_key_id="test", aws_secret_access_key="test"
    )
    policy = json.loads(policies.maintenance(sandbox.bucket, sandbox.state_bucket))
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        statement["Action"] = [one for one in statement["Action"] if one != action]
    assert less != policy
    try:
        iam.put_user_policy(UserName="maintenance", PolicyName="maintenance", PolicyDocument=json.dumps(less))
        yield
    finally:
        iam.put_user_policy(UserName="maintenance", PolicyName="maintenance", PolicyDocument=json.dumps(policy))


def access(sandbox: Sandbox, identity: str = "maintenance") -> Access:
    """Return how our own code reaches the sandbox's S3."""
    return Access(sandbox.endpoint, sandbox.region, identity, f"{sandbox.directory}/credentials")


def store(sandbox: Sandbox, prefix: str, identity: str = "maintenance") -> S3Store:
    """Return the object store's edge on a prefix of the sandbox's bucket."""
    return S3Store(S3(access(sandbox, identity)), sandbox.bucket, prefix, SystemClock().now)
