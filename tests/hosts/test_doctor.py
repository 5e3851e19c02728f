"""`maintainer doctor --host`: what a host must not be able to do is tried with its own credentials, and does no harm where it can."""

from __future__ import annotations

import json

import pytest

from maintainer.core.hostpolicy import allow, document
from maintainer.core.job import Place
from maintainer.hosts.ways import user_of
from maintainer.sandbox.provision import root_client
from tests.hosts.test_enroll import Office, office
from tests.support.buckets import client

__all__ = ["office"]
NEVER = (
    "delete an object",
    "delete a version",
    "tag an object",
    "set an ACL",
    "copy an object",
    "encrypt under a key of its own",
    "put into an archive class",
    "change versioning",
    "change the lifecycle",
    "list repository db",
    "read repository db",
    "list the state store",
    "read the state store",
)


@pytest.fixture
def enrolled(office: Office) -> Office:
    """Two hosts, and a run over both, so that there is something in the state store."""
    office.enroll()
    office.enroll(host="db")
    for host in ("web1", "db"):
        office.restic("backup", "--host", host, str(office.root / "source"), more=office.environment(host=host))
    office.call("run", "--once")
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
    denied = {"copy an object", "encrypt under a key of its own", "put into an archive class"}
    assert {name for name in NEVER if held[name]} == denied
    assert state(enrolled) == before
    said = enrolled.call("doctor", "--host", str(enrolled.root / "web1"), code=2)
    assert "UNFIT  the host must not delete a version: it can" in said
    assert "give it the policy of `maintainer enroll`" in said
    enrolled.enroll()
    assert held != asked(enrolled, 0), "enroll again, and the policy is what it was"


def test_a_host_whose_key_was_ended_is_told_as_that(enrolled: Office) -> None:
    enrolled.call("retire", "web1", "--profile", "admin")
    assert asked(enrolled, 2) == {"the host puts below its own prefix": False}
