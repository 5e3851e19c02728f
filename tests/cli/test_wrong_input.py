"""Wrong input is refused with what was expected and what to do; what only a repository can tell stops that one alone."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.cli.test_commands import COMMAND
from tests.support.buckets import client
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


def configure(sandbox: Sandbox, tmp_path: Path, tables: str, **replaced: str) -> Path:
    """Write a configuration of this test's own, with a state prefix of its own."""
    text = Path(sandbox.config).read_text().replace('/sandbox"', f'/{tmp_path.name}"')
    for change in replaced.values():
        before, after = change.split("=>")
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / "maintainer.toml"
    path.write_text(text + tables)
    return path


def table(name: str, location: str, password: str, more: str = "") -> str:
    return f'[[repository]]\nname = "{name}"\nlocation = "{location}"\npassword = "{password}"\n{more}\n'


def run(config: Path, *words: str, environment: dict[str, str] | None = None) -> tuple[int, list[dict[str, object]], str]:
    command = [str(COMMAND), "run", "--once", "--json", "--config", str(config), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S, env=environment or dict(os.environ))
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def reasons(events: list[dict[str, object]]) -> dict[str, str]:
    return {str(e["repository"]): f"{e['reason']} → {e['guidance']}" for e in events if e["event"] == "run.failed"}


def test_what_one_repository_tells_stops_that_one_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    repository = Repository(sandbox, f"wrong-{tmp_path.name}", tmp_path)
    repository.init()
    broken = Repository(sandbox, f"broken-{tmp_path.name}", tmp_path)
    broken.init()
    (key,) = broken.objects("keys/")
    for version in broken.s3("admin").list_object_versions(Bucket=sandbox.bucket, Prefix=f"{broken.prefix}/{key}")["Versions"]:
        broken.s3("admin").delete_object(Bucket=sandbox.bucket, Key=version["Key"], VersionId=version["VersionId"])
    broken.put(key, b"damaged")
    broken.s3("admin").create_bucket(Bucket=f"plain-{tmp_path.name[-20:].strip('_').replace('_', '-')}")
    plain = f"plain-{tmp_path.name[-20:].strip('_').replace('_', '-')}"
    iam_policy_for(sandbox, plain)
    (tmp_path / "good").write_text(repository.password)
    (tmp_path / "bad").write_text("wrong")
    root = f"s3:{sandbox.endpoint}"
    good = f"file:{tmp_path}/good"
    tables = "".join(
        [
            table("nowhere", f"{root}/no-such-bucket/x", good),
            table("unversioned", f"{root}/{plain}/x", good),
            table("empty", f"{root}/{sandbox.bucket}/nothing-here", good),
            table("password", repository.location, f"file:{tmp_path}/bad"),
            table("damaged", broken.location, good),
            table("nofile", f"{root}/{sandbox.bucket}/nofile", f"file:{tmp_path}/none"),
            table("reached", f"{root}/{sandbox.bucket}/reached", good, 'host_profile = "admin"'),
        ]
    )
    other = Repository(sandbox, f"fine-{tmp_path.name}", tmp_path)
    other.init()
    tables += table("fine", other.location, good, 'host_profile = "host"')
    code, events, errors = run(configure(sandbox, tmp_path, tables))
    told = reasons(events)
    assert code == 2, errors
    expected = {
        "nowhere": "bucket 'no-such-bucket'",
        "unversioned": "versioning is not on",
        "empty": "there is no restic repository at",
        "password": "wrong password",
        "damaged": "keys are damaged or missing",
        "nofile": "can not be read",
        "reached": "can list it",
    }
    assert set(told) == set(expected)
    for name, says in expected.items():
        assert says in told[name], (name, told[name])
    assert [e["exit_code"] for e in events if e["event"] == "repository.finished" and e["repository"] == "fine"] == [0]


def iam_policy_for(sandbox: Sandbox, bucket: str, without: str = "") -> None:
    """Let the maintenance identity look at one more bucket."""
    import boto3  # noqa: PLC0415

    from maintainer.sandbox import policies  # noqa: PLC0415

    iam = boto3.client(
        "iam", endpoint_url=sandbox.endpoint, region_name=sandbox.region, aws_access_key_id="test", aws_secret_access_key="test"
    )
    document = json.loads(policies.maintenance(bucket, sandbox.state_bucket))
    for statement in document["Statement"]:
        statement["Action"] = [action for action in statement["Action"] if action != without]
    iam.put_user_policy(UserName="maintenance", PolicyName="more", PolicyDocument=json.dumps(document))


def test_a_missing_permission_is_told_with_the_call_and_the_statement(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("x")
    tables = table("web", f"s3:{sandbox.endpoint}/{sandbox.bucket}/web", f"file:{tmp_path}/good")
    code, events, _ = run(configure(sandbox, tmp_path, tables, profile='profile = "maintenance"=>profile = "host"'))
    assert code == 2
    assert "get_bucket_versioning" in reasons(events)["web"]
    assert f"allow s3:GetBucketVersioning on arn:aws:s3:::{sandbox.bucket}" in reasons(events)["web"]


def test_a_bucket_that_may_not_be_asked_about_its_versions_is_told_with_what_is_suspected(sandbox: Sandbox, tmp_path: Path) -> None:
    plain = f"plain-{uuid.uuid4().hex[:12]}"
    admin = client(sandbox, "admin")
    admin.create_bucket(Bucket=plain)
    admin.put_object(Bucket=plain, Key="web/config", Body=b"x")
    (tmp_path / "good").write_text("x")
    config = configure(sandbox, tmp_path, table("web", f"s3:{sandbox.endpoint}/{plain}/web", f"file:{tmp_path}/good"))
    iam_policy_for(sandbox, plain, without="s3:GetBucketVersioning")
    code, events, _ = run(config)
    told = reasons(events)["web"]
    assert code == 2
    assert f"get_bucket_versioning s3://{plain}: permission denied" in told
    assert "The bucket is probably not versioned: the id of its first version is null" in told
    assert f"allow s3:GetBucketVersioning on arn:aws:s3:::{plain}" in told


def test_a_clock_that_is_wrong_by_minutes_is_told(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("x")
    (tmp_path / "clock").write_text("+600")
    tables = table("web", f"s3:{sandbox.endpoint}/{sandbox.bucket}/web", f"file:{tmp_path}/good")
    code, events, _ = run(configure(sandbox, tmp_path, tables, clock=f"{sandbox.directory}/clock=>{tmp_path}/clock"))
    assert code == 2
    assert "10 minutes ahead of the store's" in reasons(events)["web"]


def test_an_unknown_profile_and_a_store_that_is_down_are_told(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "good").write_text("x")
    tables = table("web", f"s3:{sandbox.endpoint}/{sandbox.bucket}/web", f"file:{tmp_path}/good")
    code, events, errors = run(configure(sandbox, tmp_path, tables, profile='profile = "maintenance"=>profile = "nobody"'))
    assert (code, "no profile 'nobody'" in json.dumps(events) + errors) == (2, True)
    down = configure(sandbox, tmp_path, table("web", "s3:http://127.0.0.1:9/backups/web", f"file:{tmp_path}/good"))
    code, events, _ = run(down)
    assert code == 4
    assert "127.0.0.1:9 does not answer" in reasons(events)["web"]


@pytest.mark.parametrize(
    ("version", "says"), [("restic 0.14.0 compiled with go", "restic 0.14.0 at"), ("", "prints no version"), (None, "no 'restic-none'")]
)
def test_restic_missing_or_too_old_is_told_before_anything_starts(sandbox: Sandbox, tmp_path: Path, version: str | None, says: str) -> None:
    (tmp_path / "good").write_text("x")
    binary = tmp_path / "old-restic"
    binary.write_text(f"#!/bin/sh\necho '{version}'\n")
    binary.chmod(0o755)
    path = "restic-none" if version is None else str(binary)
    tables = table("web", f"s3:{sandbox.endpoint}/{sandbox.bucket}/web", f"file:{tmp_path}/good") + f'[restic]\npath = "{path}"\n'
    code, events, errors = run(configure(sandbox, tmp_path, tables))
    assert (code, events) == (2, [])
    assert says in errors
    assert "restic 0.18 or newer" in errors


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "--once", "--config", "/nowhere.toml"], "/nowhere.toml: no such file"),
        (["--config", "/elsewhere.toml", "run", "--once"], "/elsewhere.toml: no such file"),
        (["sandbox", "clock", "tomorrow"], "no offset"),
        (["plan", "--repository"], "expected one argument"),
        (["frobnicate"], "no command 'frobnicate'"),
    ],
)
def test_wrong_use_is_exit_2_and_says_what_to_do(words: list[str], says: str, sandbox: Sandbox) -> None:
    done = subprocess.run(
        [COMMAND, *words], capture_output=True, text=True, check=False, env={**os.environ, "MAINTAINER_CONFIG": sandbox.config}
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_in_the_environment_is_told_by_its_line_there(sandbox: Sandbox) -> None:
    text = Path(sandbox.config).read_text() + "[grupp.a]\n"
    done = subprocess.run(
        [COMMAND, "plan"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MAINTAINER_TOML": text, "MAINTAINER_CONFIG": "/no"},
    )
    assert done.returncode == 2
    assert f"$MAINTAINER_TOML:{text.count(chr(10))} grupp" in done.stderr, done.stderr
    assert "rename it to `group`" in done.stderr, done.stderr
