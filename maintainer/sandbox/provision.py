"""What a fresh endpoint is filled with: two versioned buckets, three identities, and a configuration that uses them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from maintainer.edges.lazy import LazyModule
from maintainer.sandbox import policies

if TYPE_CHECKING:
    import boto3
    from botocore import config as botocore_config
    from botocore import session as botocore_session
else:  # a machine's supervisor needs names from here, and there is one for each machine
    boto3 = LazyModule("boto3")
    botocore_config = LazyModule("botocore.config")
    botocore_session = LazyModule("botocore.session")

REGION = "us-east-1"
ACCOUNT = "000000000000"
BUCKET, STATE_BUCKET = "backups", "maintainer-state"
ROLE = "maintenance"
"""What the sandbox's machines may do; the same as the identity of that name."""
GATEWAY_ROLE = "gateway"
ROOT = "test"
"""ministack's own root key and secret."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One identity's access key."""

    access_key_id: str
    secret_access_key: str


def root_client(service: str, endpoint: str) -> Any:
    """Return a client of an endpoint, as root, whatever profile the shell names: one of a sandbox that is gone, maybe."""
    core = botocore_session.Session({"profile": (None, None, None, None)})
    return boto3.Session(botocore_session=core).client(
        service,  # type: ignore[call-overload]  # a name known at run time
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT,
        aws_secret_access_key=ROOT,
        config=botocore_config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def provision(endpoint: str) -> dict[str, Credentials]:
    """Make buckets and identities; return the credentials by name: admin, host, maintenance, controller."""
    s3, iam = root_client("s3", endpoint), root_client("iam", endpoint)
    for bucket in (BUCKET, STATE_BUCKET):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    documents = {
        "admin": policies.admin(),
        "host": policies.host(BUCKET),
        "maintenance": policies.maintenance(BUCKET, STATE_BUCKET),
        "controller": policies.controller(STATE_BUCKET),
    }
    made: dict[str, Credentials] = {}
    for name, document in documents.items():
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=document)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        made[name] = Credentials(key["AccessKeyId"], key["SecretAccessKey"])
    for role, document in ((ROLE, documents["maintenance"]), (GATEWAY_ROLE, policies.gateway(BUCKET))):
        iam.create_role(RoleName=role, AssumeRolePolicyDocument=policies.instances())
        iam.put_role_policy(RoleName=role, PolicyName=role, PolicyDocument=document)
        iam.create_instance_profile(InstanceProfileName=role)
        iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return made


def keep_password(endpoint: str, name: str, password: str) -> str:
    """Put a repository's password where the maintenance role reads it; return what a configuration says of it."""
    parameter = f"/maintainer/{name}"
    root_client("ssm", endpoint).put_parameter(Name=parameter, Value=password, Type="SecureString", Overwrite=True)
    return f"ssm:{parameter}"


PASSWORD = "password"  # noqa: S105 - a file's name
"""The file, in a sandbox's directory, with a password for a first repository: that of the configuration's template."""


HOST_ENVIRONMENT = "host.env"
"""The file, in a sandbox's directory, that a shell reads to be the backup host of that repository."""


def write_files(directory: Path, endpoint: str, credentials: Mapping[str, Credentials], compute: str) -> Path:
    """Write the credentials in AWS's own format, a password, and the configuration; return the latter's path.

    Only their owner can read what is secret. `compute` is what the configuration says of EC2 and of its group, in TOML. The password
    of the configuration's template is kept where the group's agents read it: in a file, or in the endpoint for instances.
    """
    shared = directory / "credentials"
    shared.touch(mode=0o600)
    shared.write_text(
        "".join(
            f"[{name}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret_access_key}\n\n"
            for name, key in credentials.items()
        ),
        encoding="utf-8",
    )
    password = directory / PASSWORD
    password.touch(mode=0o600)
    password.write_text(f"{token_urlsafe(32)}\n", encoding="utf-8")
    is_local = compute == LOCAL
    source = f"file:{password}" if is_local else keep_password(endpoint, "web", password.read_text(encoding="utf-8").strip())
    host = {
        "AWS_SHARED_CREDENTIALS_FILE": shared,
        "AWS_PROFILE": "host",
        "RESTIC_PASSWORD_FILE": password,
        "RESTIC_REPOSITORY": f"s3:{endpoint}/{BUCKET}/web",
    }
    lines = (f"export {name}={shlex.quote(str(value))}\n" for name, value in host.items())
    (directory / HOST_ENVIRONMENT).write_text("".join(lines), encoding="utf-8")
    config = directory / "maintainer.toml"
    config.write_text(
        _CONFIG.format(
            endpoint=endpoint,
            region=REGION,
            credentials=shared,
            clock=directory / "clock",
            state=STATE_BUCKET,
            bucket=BUCKET,
            compute=compute,
            password=source,
        ),
        encoding="utf-8",
    )
    return config


LOCAL = """\
[group.sandbox]
compute = "local"
"""
_CONFIG = """\
# The sandbox's configuration. Add your repositories at the end.
[s3]
endpoint = "{endpoint}"
region = "{region}"
profile = "maintenance"
credentials_file = "{credentials}"

[state]
location = "s3:{endpoint}/{state}/sandbox"

[sandbox]
clock = "{clock}"

{compute}

# A first repository: take the # away once there is one (`maintainer sandbox start` printed how restic makes it).
# [[repository]]
# name = "web"
# group = "sandbox"
# location = "s3:{endpoint}/{bucket}/web"
# password = "{password}"
# [repository.keep]
# daily = 14
"""
