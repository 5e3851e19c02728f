"""What each identity of the trust table may do, as IAM policies (DESIGN.md, Trust)."""

from __future__ import annotations

from maintainer.core.hostpolicy import allow, document, host_statements


def host(bucket: str) -> str:
    """Put, get and list in the bucket, delete under locks/ alone; no copies, no tags, no storage that can be closed later."""
    return document(*host_statements(bucket))


def gateway(bucket: str) -> str:
    """All that a host may, for the hosts that it serves; read its certificate and their password hashes."""
    secrets = allow(["ssm:GetParameter", "ssm:GetParametersByPath"], "arn:aws:ssm:*:*:parameter/maintainer/gateway/*")
    return document(*host_statements(bucket), secrets)


def maintenance(bucket: str, state_bucket: str) -> str:
    """Read versions, put, tag and mark in the bucket; append to the state store; read passwords. No version is ever deleted."""
    return document(
        allow(["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{state_bucket}"),
        allow(["s3:GetBucketVersioning", "s3:GetLifecycleConfiguration"], f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{state_bucket}"),
        allow(
            [
                "s3:GetObject",
                "s3:GetObjectVersion",
                "s3:GetObjectVersionTagging",
                "s3:PutObject",
                "s3:PutObjectVersionTagging",
                "s3:DeleteObject",
            ],
            f"arn:aws:s3:::{bucket}/*",
        ),
        allow(["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"], f"arn:aws:s3:::{state_bucket}/*"),
        allow(["ssm:GetParameter"], "arn:aws:ssm:*:*:parameter/maintainer/*"),
        allow(["secretsmanager:GetSecretValue"], "arn:aws:secretsmanager:*:*:secret:maintainer/*"),
    )


def controller(state_bucket: str) -> str:
    """Launch and end instances, which EC2's own endpoint judges, open tunnels to them, and read the state store."""
    return document(
        allow(["ec2-instance-connect:OpenTunnel"], "arn:aws:ec2:*:*:instance-connect-endpoint/*"),
        allow(["s3:ListBucket", "s3:ListBucketVersions"], f"arn:aws:s3:::{state_bucket}"),
        allow(["s3:GetObject", "s3:GetObjectVersion"], f"arn:aws:s3:::{state_bucket}/*"),
    )


def admin() -> str:
    """Everything: the storage administrator."""
    return document(allow(["*"], "*"))


def instances() -> str:
    """Say who may take the role: an instance, as EC2 does for it."""
    return document({"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"})
