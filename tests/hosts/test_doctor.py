"""`maintainer doctor --host`: what a host must not be able to do is tried with its own credentials, and does no harm where it can."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from maintainer.core.hostpolicy import allow, document
from maintainer.core.job import Place
from maintainer.edges import reach
from maintainer.edges.s3errors import translate
from maintainer.hosts.ways import user_of
from maintainer.sandbox.provision import root_client
from tests.hosts.test_enroll import SOURCE, Office, office
from tests.support.buckets import client

__all__ = ["office"]
NEVER = (
    "delete an object",
    "delete a version",
    "tag an object",
    "set an ACL",
    "copy an object",
    "encrypt under a key of its own",
    "encrypt under a key of KMS",
    "put into an archive class",
    "change versioning",
    "change the lifecycle",
    "change the bucket's policy",
    "list repository db",
    "read repository db",
    "list the state store",
    "read the state store",
)


@pytest.fixture
def enrolled(office: Office) -> Office:
    """Two hosts, and a run over both, so that there is something in the state store; and doctor's caller may read policies."""
    office.enroll()
    office.enroll(host="db")
    for host in ("web1", "db"):
        office.restic("backup", "--host", host, str(office.root / SOURCE), more=office.environment(host=host))
    office.call("run", "--once")
    office.config.write_text(office.config.read_text().replace('profile = "maintenance"', 'profile = "admin"'))
    return office


def loosen(office: Office, *statements: dict[str, object]) -> None:
    """Give the host more by hand, as somebody does who wants to help."""
    user = user_of("web1", Place(office.sandbox.bucket, f"{office.name}/web1"))
    iam = root_client("iam", office.sandbox.endpoint)
    iam.put_user_policy(UserName=user, PolicyName="more", PolicyDocument=document(*statements))


def state(office: Office) -> object:
    s3 = client(office.sandbox, "admin")
    found = s3.list_object_versions(Bucket=office.sandbox.bucket, Prefix=office.name)["Versions"]
    kept = {(one["Key"], one["VersionId"]) for one in found if "/maintainer/probe/" not in one["Key"]}
    return kept, s3.get_bucket_versioning(Bucket=office.sandbox.bucket)["Status"]


def asked(office: Office, code: int) -> dict[str, bool | None]:
    (told,) = json.loads(office.call("doctor", "--host", str(office.root / "web1"), "--json", code=code))
    return {
        one["name"].removeprefix("the host must not "): one["holds"] for one in told["capabilities"] if one["name"].startswith("the host")
    }


def test_an_enrolled_host_can_do_what_it_must_and_no_more(enrolled: Office) -> None:
    before = state(enrolled)
    held = asked(enrolled, 0)
    assert held == {"the host puts below its own prefix": True, **dict.fromkeys(NEVER, True)}
    assert state(enrolled) == before
    assert enrolled.call("run", "--once", "--repository", "web1"), "and a run finds nothing new"


def test_whatever_was_loosened_by_hand_is_named_and_nothing_is_harmed(enrolled: Office) -> None:
    before = state(enrolled)
    loosen(enrolled, allow(["s3:*"], "*"))
    held = asked(enrolled, 2)
    assert held["the host puts below its own prefix"] is True
    # Copies, foreign keys and archives are denied by its policy, whatever else it is given.
    denied = {"copy an object", "encrypt under a key of its own", "encrypt under a key of KMS", "put into an archive class"}
    assert {name for name in NEVER if held[name]} == denied
    assert state(enrolled) == before
    said = enrolled.call("doctor", "--host", str(enrolled.root / "web1"), code=2)
    assert "UNFIT  the host must not delete a version: it can" in said
    assert "give it the policy of `maintainer enroll`" in said
    enrolled.enroll()
    assert held != asked(enrolled, 0), "enroll again, and the policy is what it was"


def test_the_policy_of_a_bucket_that_has_one_stays_and_is_not_tried_by_who_may_not_read_it(enrolled: Office) -> None:
    s3 = client(enrolled.sandbox, "admin")
    policy = document(
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["s3:DeleteObjectVersion"],
            "Resource": [f"arn:aws:s3:::{enrolled.sandbox.bucket}/none"],
        }
    )
    s3.put_bucket_policy(Bucket=enrolled.sandbox.bucket, Policy=policy)
    try:
        assert asked(enrolled, 0)["change the bucket's policy"] is True
        loosen(enrolled, allow(["s3:PutBucketPolicy"], "*"))
        assert asked(enrolled, 2)["change the bucket's policy"] is False
        assert json.loads(s3.get_bucket_policy(Bucket=enrolled.sandbox.bucket)["Policy"]) == json.loads(policy)
    finally:
        s3.delete_bucket_policy(Bucket=enrolled.sandbox.bucket)
    enrolled.config.write_text(enrolled.config.read_text().replace('profile = "admin"', 'profile = "maintenance"'))
    assert asked(enrolled, 0)["change the bucket's policy"] is None
    assert "a profile that may read the policy" in enrolled.call("doctor", "--host", str(enrolled.root / "web1"))


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ("User: web1 is not authorized to perform: s3:PutObject on resource: x with an explicit deny in an identity-based policy", True),
        ("User: web1 is not authorized to perform: kms:GenerateDataKey on this resource because no resource-based policy allows it", False),
    ],
)
def test_a_put_that_kms_alone_refused_was_let_through(said: str, holds: bool) -> None:
    def refuse() -> None:
        error = ClientError({"Error": {"Code": "AccessDenied", "Message": said}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "PutObject")  # type: ignore[typeddict-item]
        raise translate(error, "put_object", "b", "k", "") from error

    assert reach.tried("encrypt under a key of KMS", refuse, "").holds is holds


def test_a_host_whose_key_was_ended_is_told_as_that(enrolled: Office) -> None:
    enrolled.call("retire", "web1", "--profile", "admin")
    assert asked(enrolled, 2) == {"the host puts below its own prefix": False}
