"""The trust table, asked of the endpoint with access control on, and of the documents by a second evaluator."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from maintainer.sandbox.provision import Credentials, root_client
from tests.support import trust
from tests.support.accounts import Account
from tests.support.instances import fleet
from tests.support.policies import Policy, Request, may
from tests.support.terraform import Root
from tests.support.trust import BACKUPS, BODY, CLINICAL, STATE, Row

pytestmark = pytest.mark.timeout(900)  # Terraform's provider alone waits for a minute in each apply
ROLES = {"maintenance servers": "maintainer-servers", "controller": "maintainer-controller"}
KEYS = {
    BACKUPS: ["web/data/x", "web/data/marked", "web/locks/x", "db/data/x", "db/data/marked", "db/locks/x", "desktops/ann/data/x"],
    CLINICAL: ["records/data/x"],
    STATE: ["prod/web/ledger/00000000", "prod/ann/ledger/00000000"],
}


@dataclass(frozen=True)
class Principals:
    """Everybody in the table: how each asks, and what policies each has."""

    account: Account

    def client(self, who: str) -> Callable[[str], Any]:
        """Return what makes a client of a service for this principal."""
        token = None
        match who:
            case "host web":
                key = self.account.key_of("acme-backups-web")
            case "maintenance servers":  # a session of the role, as an instance has it
                sts = root_client("sts", self.account.sandbox.endpoint)
                taken = sts.assume_role(RoleArn=self.arn(who), RoleSessionName="i-1")["Credentials"]
                key, token = Credentials(taken["AccessKeyId"], taken["SecretAccessKey"]), taken["SessionToken"]
            case "controller":
                key = self.account.stand_in(ROLES[who])
            case _:
                key = self.account.sandbox.credentials["admin"]
        session = boto3.Session(key.access_key_id, key.secret_access_key, token, self.account.sandbox.region)
        return lambda service: session.client(service, endpoint_url=self.account.sandbox.endpoint)  # type: ignore[call-overload]

    def arn(self, who: str) -> str:
        iam = self.account.client("iam")
        if who in ROLES:
            return str(iam.get_role(RoleName=ROLES[who])["Role"]["Arn"])
        return str(iam.get_user(UserName={"host web": "acme-backups-web", "operator": "admin"}[who])["User"]["Arn"])

    def policies(self, who: str) -> list[Policy]:
        iam = self.account.client("iam")
        if who in ROLES:
            names = iam.list_role_policies(RoleName=ROLES[who])["PolicyNames"]
            return [iam.get_role_policy(RoleName=ROLES[who], PolicyName=name)["PolicyDocument"] for name in names]
        user = self.arn(who).rpartition("/")[2]
        names = iam.list_user_policies(UserName=user)["PolicyNames"]
        return [iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"] for name in names]

    def bucket_policies(self) -> dict[str, Policy]:
        s3 = self.account.client("s3")
        return {bucket: json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) for bucket in KEYS}


def fill(account: Account) -> dict[tuple[str, str], str]:
    """Put what the table's rows are about, as the administrator; return the versions."""
    s3 = account.client("s3")
    condition = {STATE: {"IfNoneMatch": "*"}}
    return {
        (bucket, key): s3.put_object(Bucket=bucket, Key=key, Body=BODY, **condition.get(bucket, {}))["VersionId"]
        for bucket, keys in KEYS.items()
        for key in keys
    }


def wrong_at_the_endpoint(principals: Principals, versions: dict[tuple[str, str], str]) -> list[str]:
    """Ask every row of the endpoint; return those that were answered otherwise."""
    wrong = []
    for who, rows in _by_principal().items():
        client = principals.client(who)
        for row in rows:
            said = trust.ask(row, client, versions.get((row.bucket, row.key), "null"))
            expected = {"allowed"} if row.may else {"AccessDenied", "AccessDeniedException"}
            if said not in expected:
                wrong.append(f"{row}: {said}")
    return wrong


def wrong_by_the_documents(principals: Principals) -> list[str]:
    """Ask every row of the documents; return those that they answer otherwise."""
    buckets, wrong = principals.bucket_policies(), []
    for who, rows in _by_principal().items():
        arn, own = principals.arn(who), principals.policies(who)
        wrong += [
            str(row) for row in rows if may(Request(arn, row.action, row.resource, row.context), own, buckets.get(row.bucket)) != row.may
        ]
    return wrong


def _by_principal() -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in trust.rows():
        found.setdefault(row.who, []).append(row)
    return found


EC2 = "arn:aws:ec2:us-east-1:000000000000"
OWN, FOREIGN = "s3://acme-maintainer-state/prod", "s3://somebody-elses-state/prod"
OF_THE_CONTROLLER = [
    (action, f"{EC2}:{resource}", {key: owner}, owner == OWN)
    for owner in (OWN, FOREIGN)
    for action, resource, key in (
        ("ec2:RunInstances", "instance/*", "aws:RequestTag/maintainer:owner"),
        ("ec2:RunInstances", "volume/*", "aws:RequestTag/maintainer:owner"),
        ("ec2:RunInstances", "launch-template/lt-1", "aws:ResourceTag/maintainer:owner"),
        ("ec2:CreateLaunchTemplate", "launch-template/*", "aws:RequestTag/maintainer:owner"),
        ("ec2:DeleteLaunchTemplate", "launch-template/lt-1", "aws:ResourceTag/maintainer:owner"),
        ("ec2:CreateFleet", "launch-template/lt-1", "aws:ResourceTag/maintainer:owner"),
        ("ec2:TerminateInstances", "instance/i-1", "aws:ResourceTag/maintainer:owner"),
        ("ec2:GetConsoleOutput", "instance/i-1", "aws:ResourceTag/maintainer:owner"),
    )
] + [
    ("ec2:RunInstances", f"{EC2}:instance/*", {}, False),
    ("ec2:TerminateInstances", f"{EC2}:instance/i-1", {}, False),
    ("ec2:CreateTags", f"{EC2}:instance/i-1", {"ec2:CreateAction": "RunInstances"}, True),
    ("ec2:CreateTags", f"{EC2}:instance/i-1", {}, False),  # or it could make anybody's instance its own, and end it
    ("ec2:ModifyInstanceAttribute", f"{EC2}:instance/i-1", {"aws:ResourceTag/maintainer:owner": OWN}, False),
    ("ec2:DescribeInstances", "*", {}, True),
    ("ec2:DescribeLaunchTemplateVersions", "*", {}, True),
    ("iam:PassRole", "arn:aws:iam::000000000000:role/maintainer/maintainer-servers", {"iam:PassedToService": "ec2.amazonaws.com"}, True),
    (
        "iam:PassRole",
        "arn:aws:iam::000000000000:role/maintainer/maintainer-servers",
        {"iam:PassedToService": "lambda.amazonaws.com"},
        False,
    ),
    ("iam:PassRole", "arn:aws:iam::000000000000:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}, False),
    ("sts:AssumeRole", "arn:aws:iam::000000000000:role/maintainer/maintainer-servers", {}, False),
]


def wrong_of_the_controller(principals: Principals) -> list[str]:
    """Ask the controller's document what EC2 would ask it: the endpoint's EC2 knows no access control."""
    arn, own = principals.arn("controller"), principals.policies("controller")
    return [
        f"{action} {resource} {context}"
        for action, resource, context, allowed in OF_THE_CONTROLLER
        if may(Request(arn, action, resource, context), own) != allowed
    ]


def open_with_everything_allowed(principals: Principals) -> list[str]:
    """Return what a host or a maintenance role could do in and to its own prefix, had somebody given it `s3:*`: the bucket's policy stops it."""
    everything = {"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    buckets = principals.bucket_policies()
    found = []
    for who, rows in _by_principal().items():
        arn = principals.arn(who)
        for row in rows:
            # What a bucket's policy can not know is which of its prefixes is whose: that is the identities' own to say.
            elsewhere = row.bucket == CLINICAL or (not row.key.startswith(("web/", "prod/web/")) and (row.key or "List" in row.action))
            if who == "controller" or row.may or elsewhere:
                continue
            if may(Request(arn, row.action, row.resource, row.context), [everything], buckets[row.bucket]):
                found.append(str(row))
    return found


@pytest.mark.long
@pytest.mark.matrix(name="examples of terraform")
def test_every_row_of_the_trust_table_holds(tmp_path: Path) -> None:
    with fleet() as own:
        root = Root.of(
            "examples/several-classifications",
            tmp_path / "terraform",
            own.sandbox,
            name="acme",
            s3_endpoint=own.sandbox.endpoint,
            image_id=own.plant.image_id,
            image_digest=own.plant.digest,
            controller_image=f"acme/maintainer@sha256:{'0' * 64}",
        )
        root.apply()
        assert root.drift() == ""
        principals = Principals(Account(own.sandbox, tmp_path))
        versions = fill(principals.account)
        assert wrong_by_the_documents(principals) == []
        assert wrong_of_the_controller(principals) == []
        assert open_with_everything_allowed(principals) == []
        assert wrong_at_the_endpoint(principals, versions) == []
        root.take_down()
