"""The gateway with real rclone and real restic: hosts back up through it and restore, and nothing that a host has lets it take anything back."""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from maintainer.core.job import Keep
from maintainer.edges.clock import SystemClock
from maintainer.gateway.serving import ANEW_S
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import root_client
from tests.agent.test_history import grow, watched, whole
from tests.support.gateways import Guest, Served, certify, serving


@pytest.fixture
def served(timed_sandbox: Sandbox, tmp_path: Path) -> Iterator[Served]:
    with serving(timed_sandbox, tmp_path) as gateway:
        yield gateway


def guest(served: Served, root: Path, host: str = "web1") -> Guest:
    """Return a host that may come, with a repository."""
    served.add(host)
    served.until(404, host)
    (root / host).mkdir()
    made = Guest(served.sandbox, f"{served.job.place.prefix}/{host}", root / host, password=uuid.uuid4().hex, host=host)
    made.let_in(served.environment(host), served.certificate)
    made.init(fast=False)
    return made


def test_what_hosts_back_up_through_the_gateway_is_maintained_and_needs_no_healing(served: Served, tmp_path: Path) -> None:
    repository = guest(served, tmp_path)
    grow(repository, 3)
    maintained = watched(repository, keep=Keep(last=1))
    before = repository.versions()
    ran = maintained.run()
    assert ran.code == 0, ran.why()
    assert repository.versions() == before
    maintained.pass_days(15)
    assert maintained.run().named("snapshot.forgotten")
    maintained.pass_days(0)  # rclone signs by the store's time, and the sandbox judges signatures by the real one
    (*_, last) = repository.trees
    repository.verify(last)
    assert last[:8] in repository.restic("snapshots").stdout
    assert len(repository.objects("snapshots/")) == 1


def test_nothing_that_a_host_has_lets_it_take_anything_back(served: Served, tmp_path: Path) -> None:
    repository, other = guest(served, tmp_path), guest(served, tmp_path, "web2")
    (snapshot, *_) = grow(repository, 2)
    grow(other, 1)
    before = repository.versions() | other.versions()
    assert "403" in repository.restic("forget", snapshot, check=False).stderr
    names = [key for key in repository.objects("") if not key.startswith("locks/")]
    assert len(names) > 5
    for key in names:
        kind, _, name = key.rpartition("/")
        shown = f"/web1/{kind.partition('/')[0]}/{name}" if kind else "/web1/config"
        assert served.ask("GET", shown, "web1") == 200
        assert served.ask("DELETE", shown, "web1") == 403
        assert served.ask("POST", shown, "web1", body=b"garbage") == 403
        assert served.ask("GET", shown, "web2") == 403
        assert served.ask("POST", shown, "web2", body=b"garbage") == 403
        assert served.ask("GET", shown) == 401
        assert served.ask("GET", shown, "web1", "another word") == 401
    assert {key for key in repository.versions() | other.versions() if "/locks/" not in key[0]} == {
        key for key in before if "/locks/" not in key[0]
    }
    whole(repository)
    whole(other)


@pytest.mark.parametrize(
    "path",
    [
        "/web2/../web1/config",
        "/web2/%2e%2e/web1/config",
        "/web2/..%2fweb1/config",
        "/web2/data/..%2f..%2fweb1%2fconfig",
        "//web1/config",
        "/web2//../web1/config",
        "/web2/..\\web1/config",
        "/./web1/config",
        "/WEB1/config",
        "/web1%00/config",
        "/web1",
        "/",
    ],
)
def test_no_path_leads_into_the_folder_of_another(served: Served, tmp_path: Path, path: str) -> None:
    served.add("web1")
    served.add("web2")
    client = root_client("s3", served.sandbox.endpoint)
    client.put_object(Bucket=served.sandbox.bucket, Key=f"{served.job.place.prefix}/web1/config", Body=b"the config of web1")
    served.until(200, "web1")
    served.until(404, "web2")
    for method, body in (("GET", None), ("POST", b"garbage"), ("DELETE", None)):
        assert served.ask(method, path, "web2", body=body) in {400, 403, 404, 405} or path == "/web2/..\\web1/config"
    found = client.list_object_versions(Bucket=served.sandbox.bucket, Prefix=served.job.place.prefix)
    keys = [one["Key"].removeprefix(f"{served.job.place.prefix}/") for one in found["Versions"]]
    assert keys[0] == "web1/config"
    assert not any(key.startswith("web1/") for key in keys[1:]), "what is no slash leads nowhere"
    assert "DeleteMarkers" not in found


def test_the_gateways_own_role_deletes_no_version_and_no_object_but_locks(served: Served) -> None:
    mine = boto3.client(
        "s3",
        endpoint_url=served.sandbox.endpoint,
        region_name=served.sandbox.region,
        aws_access_key_id=served.access_key[0],
        aws_secret_access_key=served.access_key[1],
        config=Config(s3={"addressing_style": "path"}),
    )
    bucket, root = served.sandbox.bucket, served.job.place.prefix
    made = mine.put_object(Bucket=bucket, Key=f"{root}/web1/data/aa", Body=b"pack")
    lock = mine.put_object(Bucket=bucket, Key=f"{root}/web1/locks/aa", Body=b"lock")
    mine.delete_object(Bucket=bucket, Key=f"{root}/web1/locks/aa")
    refused: list[Callable[[], object]] = [
        lambda: mine.delete_object(Bucket=bucket, Key=f"{root}/web1/data/aa"),
        lambda: mine.delete_object(Bucket=bucket, Key=f"{root}/web1/data/aa", VersionId=made["VersionId"]),
        lambda: mine.delete_object(Bucket=bucket, Key=f"{root}/web1/locks/aa", VersionId=lock["VersionId"]),
        lambda: mine.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}),
        lambda: mine.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": []}),
        lambda: mine.put_object_tagging(Bucket=bucket, Key=f"{root}/web1/data/aa", Tagging={"TagSet": []}),
        lambda: mine.list_objects_v2(Bucket=served.sandbox.state_bucket),
    ]
    for attempt in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


def test_hosts_come_and_go_without_a_restart_and_who_is_no_host_never_comes(served: Served) -> None:
    served.add("web1")
    served.until(404, "web1")
    served.put("web2", "plain text")
    served.add("web5")
    served.until(404, "web5")
    served.until(401, "web2", "plain text")
    served.remove("web1")
    served.until(401, "web1")
    served.until(404, "web5")


def test_a_new_certificate_is_served_and_a_server_that_died_comes_again(served: Served, tmp_path: Path) -> None:
    served.add("web1")
    served.until(404, "web1")
    parameters, name = root_client("ssm", served.sandbox.endpoint), served.job.tls.removeprefix("ssm:")
    old, (new, pem) = served.certificate, certify(tmp_path)
    for mistake in (new.read_text(), "no PEM", certify(tmp_path)[1].partition("-----BEGIN CERT")[0] + new.read_text()):
        parameters.put_parameter(Name=name, Value=mistake, Type="SecureString", Overwrite=True)
        SystemClock().sleep(2 * (served.job.look_every_s + ANEW_S))
        served.certificate = old
        assert served.ask("GET", "/web1/config", "web1") == 404, "what there was before goes on"
    served.certificate = new
    parameters.put_parameter(Name=name, Value=pem, Type="SecureString", Overwrite=True)
    served.until(404, "web1")
    (rclone,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/stat")
        if path.read_text().partition(") ")[2].split()[1] == str(served.process.pid)
    ]
    os.kill(rclone, signal.SIGKILL)
    served.until(404, "web1")
