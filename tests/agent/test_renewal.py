"""Credentials that are renewed during a run, as a role's are: each signs until its end, the next from then on, in the middle of a restic too."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from maintainer.core.job import Keep
from maintainer.edges.presign import Presigner
from maintainer.sandbox import policies
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import Credentials, root_client
from tests.agent.test_history import grow, watched
from tests.support.buckets import client_of
from tests.support.repositories import Repository

LASTS = timedelta(minutes=5)
"""What botocore renews at each use: it does from ten minutes before the end."""


class Role:
    """An identity whose keys end one after the other: the last but one as soon as the next is made. botocore asks a command for them."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._iam = root_client("iam", sandbox.endpoint)
        self._name = f"role-{uuid.uuid4().hex[:12]}"
        self._iam.create_user(UserName=self._name)
        rights = policies.maintenance(sandbox.bucket, sandbox.state_bucket)
        self._iam.put_user_policy(UserName=self._name, PolicyName="maintenance", PolicyDocument=rights)
        self._now = folder / "current.json"
        self.ended: list[Credentials] = []
        self._valid: list[Credentials] = []
        self.credentials_file = folder / "credentials"
        self.credentials_file.write_text(f"[maintenance]\ncredential_process = cat {self._now}\n")
        self.renew()

    def renew(self) -> None:
        """Make the next key, and end the one before the current."""
        made = self._iam.create_access_key(UserName=self._name)["AccessKey"]
        self._valid.append(Credentials(made["AccessKeyId"], made["SecretAccessKey"]))
        told = {"Version": 1, "AccessKeyId": made["AccessKeyId"], "SecretAccessKey": made["SecretAccessKey"]}
        self._now.write_text(json.dumps({**told, "Expiration": (datetime.now(UTC) + LASTS).isoformat()}))
        while len(self._valid) > 2:
            self.ended.append(self._valid.pop(0))
            self._iam.delete_access_key(UserName=self._name, AccessKeyId=self.ended[-1].access_key_id)


@pytest.fixture
def repository(strict_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(strict_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


def test_a_run_goes_on_over_the_end_of_its_credentials(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    grow(repository, 4)
    maintained = watched(repository, keep=Keep(last=2))
    maintained.pass_days(15)
    for key in repository.objects("data/")[:2]:
        repository.put(key, b"garbage")
    role = Role(repository.sandbox, repository.root)
    plain = Presigner.url

    def renewed_before(self: Presigner, key: str, version_id: str, seconds: int) -> str:
        role.renew()
        return plain(self, key, version_id, seconds)

    monkeypatch.setattr(Presigner, "url", renewed_before)
    job = maintained.job()
    ran = maintained.run(replace(job, access=replace(job.access, credentials_file=str(role.credentials_file))))
    assert ran.code == 3, ran.why()
    assert ran.findings() == ["overwritten", "overwritten"]
    assert ran.named("snapshot.forgotten")
    assert ran.named("run.committed")
    assert len(role.ended) >= 5, "in the middle of restic's reads"
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client_of(repository.sandbox.endpoint, repository.sandbox.region, role.ended[0]).list_objects_v2(Bucket=repository.sandbox.bucket)
    monkeypatch.undo()
    assert maintained.run().code in (0, 3)
    for snapshot in list(repository.trees)[-2:]:
        repository.verify(snapshot)
