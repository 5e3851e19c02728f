"""`maintainer rebuild`: what a person endorsed is in a new repository, under a new master key, whatever lies over the old one."""

from __future__ import annotations

import json

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.hosts.test_enroll import SOURCE, Office, office
from tests.support.buckets import client

__all__ = ["office"]


@pytest.fixture
def taken(office: Office) -> tuple[Office, list[str]]:
    """A host with three snapshots, of which a person endorsed the first two; then whoever took it overwrote every pack."""
    office.enroll()
    for number in range(3):
        (office.root / SOURCE / f"file{number}").write_text(f"what is to be kept {number}" * 1000)
        office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    office.call("run", "--once")
    ids = [one["id"] for one in json.loads(office.restic("snapshots", "--json"))]
    return office, ids


def overwrite(office: Office, sandbox: Sandbox) -> None:
    s3 = client(sandbox, "host")
    for one in s3.list_objects_v2(Bucket=sandbox.bucket, Prefix=f"{office.name}/web1/")["Contents"]:
        s3.put_object(Bucket=sandbox.bucket, Key=one["Key"], Body=b"garbage")


def test_endorsed_snapshots_are_in_a_new_repository_under_a_new_key(taken: tuple[Office, list[str]], sandbox: Sandbox) -> None:
    office, ids = taken
    office.enroll(host="web2")
    assert "no endorsed snapshot" in office.call("rebuild", "web1", "--into", "web2", code=2)
    office.call("endorse", "web1", *(one[:8] for one in ids[:2]))
    office.call("run", "--once", "--repository", "web1")
    overwrite(office, sandbox)
    assert office.call("rebuild", "web1", "--into", "web2", "--dry-run").count("would copy") == 2
    assert office.call("rebuild", "web1", "--into", "web2").count("copied ") == 2
    office.call("rebuild", "web1", "--into", "web2")

    new = office.environment(host="web2")
    copied = json.loads(office.restic("snapshots", "--json", more=new))
    assert [one["original"] for one in copied] == ids[:2]
    office.restic("restore", copied[1]["id"], "--target", str(office.root / "back"), more=new)
    for number in range(2):
        source = office.root / SOURCE / f"file{number}"
        assert (office.root / "back" / str(source).lstrip("/")).read_bytes() == source.read_bytes()
    old = (office.root / "passwords" / "web1").read_text().strip()
    office.restic("cat", "masterkey", code=12, more={**new, "RESTIC_PASSWORD": old})
    office.restic("check", "--read-data", more=new)


def test_all_of_the_verified_view_without_a_person(taken: tuple[Office, list[str]], sandbox: Sandbox) -> None:
    office, ids = taken
    office.enroll(host="web2")
    overwrite(office, sandbox)
    told = json.loads(office.call("rebuild", "web1", "--into", "web2", "--all", "--json"))
    assert sorted(told["snapshots"]) == sorted(ids)
    assert len(json.loads(office.restic("snapshots", "--json", more=office.environment(host="web2")))) == 3


def test_a_repository_goes_not_into_itself_nor_into_one_that_is_not_there(taken: tuple[Office, list[str]]) -> None:
    office, _ = taken
    assert "another repository" in office.call("rebuild", "web1", "--into", "web1", "--all", code=2)
    assert "unknown repository" in office.call("rebuild", "web1", "--into", "web9", "--all", code=2)
