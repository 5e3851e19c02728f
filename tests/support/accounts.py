"""An account that Terraform has filled: the people and machines in it, and what they do there."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from maintainer.core.events import Event, decode
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import Credentials
from tests.support.instances import COMMAND
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


@dataclass(frozen=True)
class Account:
    """One account of a sandbox as its administrator sees it, and a directory for what people keep on their own machines."""

    sandbox: Sandbox
    root: Path

    @classmethod
    def another(cls, sandbox: Sandbox, root: Path, number: str) -> Account:
        """Return another account: an endpoint takes twelve digits for the key of that account's root."""
        credentials = {**sandbox.credentials, "admin": Credentials(number, "test")}
        return cls(replace(sandbox, credentials=credentials), root)

    def client(self, service: str) -> Any:
        key = self.sandbox.credentials["admin"]
        return boto3.client(
            service,  # type: ignore[call-overload]  # a name known at run time
            endpoint_url=self.sandbox.endpoint,
            region_name=self.sandbox.region,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
        )

    def key_of(self, user: str) -> Credentials:
        """Make a user's access key, as the READMEs say."""
        made = self.client("iam").create_access_key(UserName=user)["AccessKey"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def password(self, parameter: str) -> str:
        return str(self.client("ssm").get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"])

    def host(self, bucket: str, prefix: str, user: str, password: str) -> Repository:
        """Return a host's repository, which is not made yet: the host has its user's key."""
        seen = replace(self.sandbox, bucket=bucket, credentials={**self.sandbox.credentials, "host": self.key_of(user)})
        return Repository(seen, prefix, self.root / prefix.replace("/", "-"), password=password)

    def stand_in(self, role: str) -> Credentials:
        """Return the key of a user with a role's policies: the service that takes the role for a task is not here."""
        iam, user = self.client("iam"), f"in-the-place-of-{role}"
        iam.create_user(UserName=user)
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            iam.put_user_policy(UserName=user, PolicyName=name, PolicyDocument=json.dumps(document))
        return self.key_of(user)

    def profile_of(self, name: str, key: Credentials) -> str:
        """Return a profile of AWS's file of credentials."""
        return f"[{name}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret_access_key}\n"


@dataclass(frozen=True)
class Caller:
    """Who calls maintainer: a configuration and an identity."""

    environment: dict[str, str]

    @classmethod
    def of(cls, account: Account, name: str, text: str, profiles: str, *, in_file: bool = True) -> Caller:
        """Write AWS's own file of profiles, and give what Terraform put out: in a file, or as a container has it. The endpoints are the sandbox's."""
        for section, endpoint in (("[s3]", account.sandbox.endpoint), ("[ec2]", account.sandbox.ec2_endpoint)):
            assert text.count(f"{section}\n") == 1, text
            text = text.replace(f"{section}\n", f'{section}\nendpoint = "{endpoint}"\n' if endpoint else f"{section}\n")
        config, credentials = account.root / f"{name}.toml", account.root / f"{name}.credentials"
        config.write_text(text, encoding="utf-8")
        credentials.touch(mode=0o600)
        credentials.write_text(profiles, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        own = {
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "AWS_ENDPOINT_URL": account.sandbox.endpoint,
            "AWS_REGION": account.sandbox.region,
        }
        return cls(kept | own | ({"MAINTAINER_CONFIG": str(config)} if in_file else {"MAINTAINER_TOML": text}))

    def call(self, *words: str) -> tuple[int, str]:
        ran = subprocess.run([COMMAND, *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def run(self) -> tuple[int, list[Event]]:
        code, said = self.call("run", "--once", "--json")
        return code, [decode(line) for line in said.splitlines()]
