"""docs/hosts.md's table, cell by cell: each attack is made on each set-up, and the page must say what became of it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from maintainer.core.hostpolicy import document, host_statements
from maintainer.core.job import Place
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import root_client
from tests.agent.test_history import grow, watched
from tests.support.gateways import Guest, Served, serving
from tests.support.repositories import Repository

PAGE = (Path(__file__).parents[2] / "docs/hosts.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
SETUPS = ROWS[0][1:]
GARBAGE = b"garbage"


@dataclass
class SetUp:
    """A repository, and its host's way to it."""

    repository: Repository
    bucket: str
    served: Served | None
    pack: str = ""
    """The one that is attacked now."""

    def admin(self) -> Any:
        return root_client("s3", self.repository.sandbox.endpoint)

    @property
    def key(self) -> str:
        return f"{self.repository.prefix}/{self.pack}"

    def front(self) -> Any:
        """Return S3 as the gateway's own role has it."""
        assert self.served is not None
        key = self.served.access_key
        return boto3.client(
            "s3",
            endpoint_url=self.repository.sandbox.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            config=Config(s3={"addressing_style": "path"}),
        )

    def packs(self) -> list[str]:
        listed = self.admin().list_objects_v2(Bucket=self.bucket, Prefix=f"{self.repository.prefix}/data/")["Contents"]
        return [str(one["Key"]).removeprefix(f"{self.repository.prefix}/") for one in listed]

    def became(self) -> str:
        """Say what became of the pack: by what is current, and where that is not true, by a run of maintainer's."""
        if self._is_true():
            return "refused"
        status = self.admin().get_bucket_versioning(Bucket=self.bucket).get("Status")
        if status == "Enabled":
            assert watched_again(self.repository).code == 3
        return "healed" if self._is_true() else "lost"

    def _is_true(self) -> bool:
        try:
            body = self.admin().get_object(Bucket=self.bucket, Key=self.key)["Body"].read()
        except ClientError:
            return False
        return hashlib.sha256(body).hexdigest() == self.pack.rpartition("/")[2]


def watched_again(repository: Repository) -> Any:
    return repository.maintained.run()  # type: ignore[attr-defined]


def tried(act: Callable[[], object]) -> None:
    """Do it as an attacker does: an error is only an error."""
    with suppress(ClientError):
        act()


def delete_as_host(it: SetUp) -> str:
    if it.served:
        assert it.served.ask("DELETE", f"/web1/data/{it.pack.rpartition('/')[2]}", "web1") == 403
    else:
        tried(lambda: it.repository.s3().delete_object(Bucket=it.bucket, Key=it.key))
    return it.became()


def overwrite_as_host(it: SetUp) -> str:
    if it.served:
        assert it.served.ask("POST", f"/web1/data/{it.pack.rpartition('/')[2]}", "web1", body=GARBAGE) == 403
    else:
        tried(lambda: it.repository.put(it.pack, GARBAGE))
    return it.became()


def forget_as_host(it: SetUp) -> str:
    it.repository.restic("forget", "--keep-last", "1", "--prune", check=False)
    return it.became()


def archive_as_host(it: SetUp) -> str:
    if not it.served:  # the gateway's protocol has no word for it
        tried(lambda: it.repository.put(it.pack, it.repository.get(it.pack), StorageClass="DEEP_ARCHIVE"))
    found = it.admin().head_object(Bucket=it.bucket, Key=it.key)
    return "refused" if found.get("StorageClass", "STANDARD") == "STANDARD" else "lost"


def write_elsewhere(it: SetUp) -> str:
    elsewhere = f"{it.repository.prefix.rpartition('/')[0]}/web2/data/xx"
    if it.served:
        it.served.ask("POST", f"/web2/data/{'a' * 64}", "web1", body=GARBAGE)
    else:
        own = of_one_prefix(it)
        tried(lambda: own.put_object(Bucket=it.bucket, Key=elsewhere, Body=GARBAGE))
    found = it.admin().list_objects_v2(Bucket=it.bucket, Prefix=elsewhere.removesuffix("/xx"))
    return "refused" if not found.get("KeyCount") else "lost"


def of_one_prefix(it: SetUp) -> Any:
    """Return S3 for a host that was enrolled: the sandbox's own may use every prefix."""
    iam, name = root_client("iam", it.repository.sandbox.endpoint), f"t-{uuid.uuid4().hex[:12]}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document(*host_statements(it.bucket, it.repository.prefix)))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return boto3.client(
        "s3",
        endpoint_url=it.repository.sandbox.endpoint,
        region_name="us-east-1",
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        config=Config(s3={"addressing_style": "path"}),
    )


def from_another_network(it: SetUp) -> str:
    if it.served:
        return "refused"  # by its security group: test_machine.test_nobody_else_s_network_is_let_in
    it.repository.put("data/xx", GARBAGE)
    return "possible"


def delete_as_gateway(it: SetUp) -> str:
    if not it.served:
        return "no gateway"
    tried(lambda: it.front().delete_object(Bucket=it.bucket, Key=it.key))
    for version in it.admin().list_object_versions(Bucket=it.bucket, Prefix=it.key)["Versions"]:
        tried(lambda version=version: it.front().delete_object(Bucket=it.bucket, Key=it.key, VersionId=version["VersionId"]))  # type: ignore[misc]
    return it.became()


def overwrite_as_gateway(it: SetUp) -> str:
    if not it.served:
        return "no gateway"
    it.front().put_object(Bucket=it.bucket, Key=it.key, Body=GARBAGE)
    return it.became()


def delete_by_mistake(it: SetUp) -> str:
    it.admin().delete_object(Bucket=it.bucket, Key=it.key)
    return it.became()


ATTACKS: list[Callable[[SetUp], str]] = [
    delete_as_host,
    overwrite_as_host,
    forget_as_host,
    archive_as_host,
    write_elsewhere,
    from_another_network,
    delete_as_gateway,
    overwrite_as_gateway,
    delete_by_mistake,
]


def test_the_page_has_a_row_for_each_attack() -> None:
    assert len(ROWS) - 2 == len(ATTACKS)


@pytest.fixture
def made(request: pytest.FixtureRequest, timed_sandbox: Sandbox, tmp_path: Path) -> Iterator[SetUp]:
    column: int = request.param
    with ExitStack() as open_until_the_end:
        bucket, served = timed_sandbox.bucket, None
        name = f"t-{uuid.uuid4().hex[:10]}"
        repository = Repository(timed_sandbox, f"{name}/web1", tmp_path / "web1", host="web1")
        if column:
            place = None
            if column == 1:
                bucket = f"plain-{uuid.uuid4().hex[:10]}"
                root_client("s3", timed_sandbox.endpoint).create_bucket(Bucket=bucket)
                place = Place(bucket, name)
            served = open_until_the_end.enter_context(serving(timed_sandbox, tmp_path, place))
            served.add("web1")
            served.until(404, "web1")
            guest = Guest(timed_sandbox, f"{served.job.place.prefix}/web1", tmp_path / "web1", host="web1")
            guest.let_in(served.environment("web1"), served.certificate)
            repository = guest
        repository.root.mkdir()
        repository.init(fast=False)
        grow(repository, len(ATTACKS))
        if column != 1:
            repository.maintained = watched(repository)  # type: ignore[attr-defined]
        yield SetUp(repository, bucket, served)


@pytest.mark.matrix
@pytest.mark.parametrize("made", [0, 1, 2], ids=[re.sub(r"\W+", "-", name) for name in SETUPS], indirect=True)
def test_each_cell_says_what_becomes_of_the_attack(made: SetUp, request: pytest.FixtureRequest) -> None:
    column = int(request.node.callspec.params["made"])
    packs = made.packs()
    assert len(packs) >= len(ATTACKS)
    found = {}
    for attack, pack in zip(ATTACKS, packs, strict=False):
        made.pack = pack
        found[attack.__name__] = attack(made)
    assert found == {attack.__name__: row[1 + column] for attack, row in zip(ATTACKS, ROWS[2:], strict=True)}
