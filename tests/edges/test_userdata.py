"""User data: what it holds is a golden file, what cloud-init says of it is nothing, and hostile text stays text."""

from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core import job as jobs
from maintainer.core.errors import ConfigurationError
from maintainer.core.job import Access, Job, Keep, Place, RepositoryJob
from maintainer.edges import userdata
from maintainer.edges.ssh import KeyPair, generate_key
from maintainer.sandbox import image, namespaces

GOLDEN = Path(__file__).parent / "user-data.golden.yaml"
HOST = KeyPair("ssh-ed25519 AAAAHOST", "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret of one run\n-----END OPENSSH PRIVATE KEY-----\n")
LOGIN = "ssh-ed25519 AAAALOGIN"
ALLOWED = {"bootcmd", "ssh_deletekeys", "ssh_keys", "write_files", "runcmd"}
JOB = Job(
    run_id="20260101T000000Z-0123456789",
    access=Access("https://s3.example.com", "eu-central-1", "maintenance", "/home/ann/.aws/credentials"),
    state=Place("state", "prod", "https://s3.example.com"),
    repositories=(RepositoryJob("web", Place("backups", "web", "https://s3.example.com"), "ssm:/maintainer/web", Keep(daily=14)),),
    restic="/home/ann/bin/restic",
    image_digest="d1",
)


def render(job: Job) -> str:
    return userdata.cloud_config(job.encode(), host_key=HOST, login_key=LOGIN, deadline_s=3600)


def test_it_is_the_golden_file() -> None:
    assert render(JOB) == GOLDEN.read_text(), f"if the change is meant: write it to {GOLDEN}"


def test_it_holds_the_allowed_keys_alone_and_arms_the_power_off_first() -> None:
    parsed = yaml.safe_load(render(JOB))
    assert set(parsed) == ALLOWED
    assert "poweroff" in parsed["bootcmd"][0]
    assert "3600" in parsed["bootcmd"][0]


def test_nothing_of_the_controller_s_machine_goes_along() -> None:
    text = render(JOB)
    for word in ("/home/ann", "maintenance", HOST.private.splitlines()[0] * 2):
        assert word not in text


@given(st.text(), st.text())
def test_whatever_a_configuration_says_arrives_as_it_was_said(name: str, tag: str) -> None:
    hostile = replace(JOB, repositories=(replace(JOB.repositories[0], name=name, keep=Keep(tags=(tag,))),))
    parsed = yaml.safe_load(render(hostile))
    assert set(parsed) == ALLOWED
    arrived = jobs.decode(parsed["write_files"][0]["content"])
    assert arrived.repositories == hostile.repositories


def test_the_sandbox_s_clock_goes_along(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("+864000")
    moved = replace(JOB, access=replace(JOB.access, clock=str(tmp_path / "clock")))
    parsed = yaml.safe_load(render(moved))
    assert json.loads(parsed["write_files"][0]["content"])["access"]["clock"] == userdata.CLOCK
    assert parsed["write_files"][1] == {"path": userdata.CLOCK, "permissions": "0644", "content": "+864000"}


def test_a_machine_without_a_role_is_told_where_its_keys_will_lie_and_gets_none() -> None:
    text = userdata.cloud_config(JOB.encode(), host_key=HOST, login_key=LOGIN, deadline_s=3600, has_role=False)
    parsed = yaml.safe_load(text)
    assert set(parsed) == ALLOWED
    job, credentials, _ = parsed["write_files"]
    assert json.loads(job["content"])["access"]["credentials_file"] == credentials["path"]
    assert credentials["content"] == "[default]\ncredential_process = /bin/cat /run/maintainer/keys.json\n"
    assert "aws_" not in text


def test_more_than_ec2_takes_is_refused_with_the_way_out() -> None:
    many = replace(JOB, repositories=tuple(replace(JOB.repositories[0], name=generate_key().public) for _ in range(400)))
    with pytest.raises(ConfigurationError, match="split the group"):
        userdata.render(many.encode(), host_key=HOST, login_key=LOGIN, deadline_s=3600)
    packed = userdata.render(JOB.encode(), host_key=HOST, login_key=LOGIN, deadline_s=3600)
    assert gzip.decompress(packed).decode() == render(JOB)


def test_cloud_init_s_own_schema_finds_nothing(tmp_path: Path) -> None:
    built = image.build(image.cache())
    image.prepare(tmp_path / "machine")
    (tmp_path / "given").mkdir(mode=0o755)
    (tmp_path / "given/user-data").write_text(render(JOB))
    environment, directories = image.surroundings(tmp_path / "machine", built.layers, "0", shared=tmp_path / "given")
    with tempfile.TemporaryFile() as output:
        check = ["cloud-init", "schema", "--config-file", "/mnt/user-data"]
        status = namespaces.spawn(["sh", "/proc/self/fd/10/enter", *check], environment, output.fileno(), directories).wait()
        output.seek(0)
        said = output.read().decode()
    assert status == 0, said
    assert "Valid schema" in said
    assert "deprecat" not in said.lower()
