"""`maintainer enroll` with real restic: one command, and again; what it refuses; and what each password opens."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from maintainer.cli import enroll as cli
from maintainer.core.errors import AccessDeniedError
from maintainer.core.job import Access, Place
from maintainer.edges import secrets
from maintainer.edges.iam import Iam
from maintainer.edges.restic import Restic
from maintainer.edges.s3 import S3
from maintainer.hosts import enrolment
from maintainer.hosts.hostfiles import read_environment
from maintainer.hosts.ways import user_of
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import root_client
from tests.support.buckets import client
from tests.support.commands import command
from tests.support.faulty import STALLED, FaultyProxy
from tests.support.patience import PATIENCE_S
from tests.support.repositories import RESTIC

SOURCE = "source 😀"
"""The folder that hosts back up: also a letter that UTF-16 writes in two halves."""


@dataclass
class Office:
    """Who enrolls: a configuration without repositories, and a folder for the hosts' files."""

    sandbox: Sandbox
    root: Path
    name: str

    @property
    def config(self) -> Path:
        return self.root / "maintainer.toml"

    @property
    def place(self) -> str:
        return f"s3:{self.sandbox.endpoint}/{self.sandbox.bucket}/{self.name}"

    def configure(self, hosts: str = "", more: str = "") -> None:
        text = Path(self.sandbox.config).read_text()
        state = f"s3:{self.sandbox.endpoint}/{self.sandbox.state_bucket}/"
        own = hosts or f'location = "{self.place}"\npasswords = "file:{self.root}/passwords"\n'
        self.config.write_text(text.replace(state, f"{state}{self.name}/") + f"\n[group.sandbox.hosts]\n{own}\n{more}")

    def call(self, *words: str, code: int = 0) -> str:
        ended, output, errors = command(str(self.config), *words)
        assert ended == code, output + errors
        return output + errors

    def enroll(self, *more: str, host: str = "web1", code: int = 0) -> str:
        words = ("enroll", host, "--path", str(self.root / SOURCE), "--output", str(self.root), "--profile", "admin")
        return self.call(*words, "--local", str(self.root / "local"), *more, code=code)

    def environment(self, repository: str = "offsite", host: str = "web1") -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RESTIC_"))}
        return {**kept, **read_environment(self.root / host / f"{repository}.env")}

    def restic(self, *argv: str, code: int = 0, more: dict[str, str] | None = None) -> str:
        ran = subprocess.run(
            [RESTIC, "--no-cache", *argv],
            env={**self.environment(), **(more or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def everything(self) -> dict[str, str]:
        """Return all that an enrolment may change: objects, users, parameters, files."""
        objects = client(self.sandbox, "admin").list_objects_v2(Bucket=self.sandbox.bucket, Prefix=self.name).get("Contents", [])
        users = root_client("iam", self.sandbox.endpoint).list_users()["Users"]
        files = {str(path): path.read_text() for path in self.root.rglob("*") if path.is_file()}
        return {**{one["Key"]: one["ETag"] for one in objects}, **{one["UserName"]: "a user" for one in users}, **files}


@pytest.fixture
def office(sandbox: Sandbox, tmp_path: Path) -> Office:
    made = Office(sandbox, tmp_path, f"e-{uuid.uuid4().hex[:10]}")
    (tmp_path / SOURCE).mkdir()
    (tmp_path / SOURCE / "file").write_text("what is to be kept")
    made.configure()
    return made


@pytest.mark.restic_makes_it
def test_one_command_and_the_host_backs_up_and_is_maintained_and_nobody_was_asked(office: Office) -> None:
    office.enroll()
    office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    said = office.call("run", "--once", "--repository", "web1")
    assert "confirm" not in said, "its host and paths are expected"
    assert "not authorized to perform: s3:DeleteObject" in office.restic("forget", "latest", "--prune", code=1)
    office.call("run", "--once", "--repository", "web1")
    assert "1 snapshots" in office.restic("snapshots")


def test_first_contact_is_made_before_the_host_ever_came_and_nobody_can_hold_it_up(office: Office) -> None:
    assert "the ledger has them" in office.enroll()
    admin = client(office.sandbox, "admin")
    (identity,) = admin.list_objects_v2(Bucket=office.sandbox.bucket, Prefix=f"{office.name}/web1/maintainer/")["Contents"]
    entry = admin.get_object(Bucket=office.sandbox.state_bucket, Key=f"{office.name}/sandbox/web1/ledger/00000000")["Body"].read()
    assert identity["Key"].endswith(hashlib.sha256(entry).hexdigest())
    keys = admin.list_objects_v2(Bucket=office.sandbox.bucket, Prefix=f"{office.name}/web1/keys/")["Contents"]
    assert {one["Key"].rpartition("/")[2] for one in keys} <= set(re.findall("keys/([0-9a-f]{64})", entry.decode())), "both are pinned"
    host = S3(Access(office.sandbox.endpoint, office.sandbox.region, "host", f"{office.sandbox.directory}/credentials"))
    forged = b"an earlier ledger"
    where = f"{office.name}/web1/maintainer/{hashlib.sha256(forged).hexdigest()}"
    host.call("put_object", Bucket=office.sandbox.bucket, Key=where, Body=forged)
    said = office.call("run", "--once", "--repository", "web1")
    assert "late" not in said, "the first snapshot is awaited"
    office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    office.call("run", "--once", "--repository", "web1")


def test_a_profile_that_may_not_write_there_leaves_first_contact_to_the_first_run(office: Office) -> None:
    def refuse(*_: object) -> None:
        raise AccessDeniedError("put_object s3://state: permission denied", guidance="allow it")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cli, "contact", refuse)
        assert "left to the first run: put_object s3://state: permission denied" in office.enroll()
    office.call("run", "--once", "--repository", "web1")


def test_a_wiped_state_store_is_told(office: Office) -> None:
    office.enroll()
    text = office.config.read_text()
    office.config.write_text(
        text.replace(f"{office.sandbox.state_bucket}/{office.name}/", f"{office.sandbox.state_bucket}/{office.name}-new/")
    )
    assert "maintainer was here before: nothing was written there" in office.enroll(code=4)


@pytest.mark.restic_makes_it
def test_a_lost_state_store_is_rebased_by_one_command_which_says_what_it_supersedes(office: Office) -> None:
    office.enroll()
    assert "no ledger was here before this one" in office.call("enroll", "web1", "--rebase", code=2)
    office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    run = office.call("run", "--once", "--repository", "web1")
    text = office.config.read_text()
    office.config.write_text(
        text.replace(f"{office.sandbox.state_bucket}/{office.name}/", f"{office.sandbox.state_bucket}/{office.name}-new/")
    )
    assert "no run has committed yet: maintainer run --once" in office.call("status", code=3)
    assert "earlier-ledger: ledger" in office.call("plan", "--repository", "web1")
    before = office.everything()
    said = office.call("enroll", "web1", "--rebase", "--dry-run", "--profile", "admin")
    assert re.search("supersedes ledger [0-9a-f]{8}, here since .*, begun at .* by run enroll for web1", said), said
    assert "the policy applies from the second run on" in said
    assert "nothing was done: without --dry-run it is" in said
    assert office.everything() == before
    assert "the next run heeds it" in office.call("enroll", "web1", "--rebase", "--profile", "admin")
    assert "was declared lost already" in office.call("enroll", "web1", "--rebase", "--profile", "admin", code=2)
    run = office.call("run", "--once", "--repository", "web1")
    assert "earlier-ledger" not in run
    assert "first contact forgets nothing" in run
    assert "1 snapshots" in office.restic("snapshots")


def test_a_rebase_names_no_forged_ledger_as_true_and_prints_no_byte_of_it_raw(office: Office) -> None:
    office.enroll()
    host = S3(Access(office.sandbox.endpoint, office.sandbox.region, "host", f"{office.sandbox.directory}/credentials"))
    time.sleep(1.1)
    for forged in (b"\x1b]0;forged", b"[" * 100_000, *(b"%d" % number for number in range(12))):
        where = f"{office.name}/web1/maintainer/{hashlib.sha256(forged).hexdigest()}"
        host.call("put_object", Bucket=office.sandbox.bucket, Key=where, Body=forged)
    time.sleep(1.1)
    text = office.config.read_text()
    office.config.write_text(
        text.replace(f"{office.sandbox.state_bucket}/{office.name}/", f"{office.sandbox.state_bucket}/{office.name}-new/")
    )
    said = office.call("enroll", "web1", "--rebase", "--profile", "admin")
    assert "which is no entry of maintainer's: somebody forged it" in said
    assert "supersedes all others that lie here" in said
    assert "\x1b" not in said
    assert said.count("supersedes") == 11


def test_a_bucket_without_versions_or_none_at_all_is_refused_before_anything_is_made(office: Office) -> None:
    bucket = f"{office.name}-plain"
    client(office.sandbox, "admin").create_bucket(Bucket=bucket)
    for name, says in ((bucket, "versioning is not on"), (f"{bucket}-2", "there is no bucket")):
        place = f"s3:{office.sandbox.endpoint}/{name}"
        office.configure(f'location = "{place}"\npasswords = "file:{office.root}/passwords"\n')
        before = office.everything()
        for words in (("--dry-run",), ()):
            assert says in office.enroll(*words, code=2)
        assert office.everything() == before


def test_hosts_of_one_name_in_two_places_are_two_users(office: Office) -> None:
    office.enroll()
    first = office.environment()
    shutil.rmtree(office.root / "web1")
    office.configure(f'location = "{office.place}/others"\npasswords = "file:{office.root}/others"\n')
    office.enroll()
    assert office.environment()["AWS_ACCESS_KEY_ID"] != first["AWS_ACCESS_KEY_ID"]
    office.restic("snapshots", more=first)
    office.restic("snapshots", code=1, more={**first, "RESTIC_REPOSITORY": office.environment()["RESTIC_REPOSITORY"]})


def test_a_bucket_that_encrypts_under_a_key_of_ours_is_told_to_the_host_s_policy_and_to_the_run(office: Office) -> None:
    admin, bucket, key = client(office.sandbox, "admin"), f"{office.name}-kms", "arn:aws:kms:us-east-1:000000000000:key/ours"
    admin.create_bucket(Bucket=bucket)
    admin.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    under = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = [{"ApplyServerSideEncryptionByDefault": under}]
    admin.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})
    place = f"s3:{office.sandbox.endpoint}/{bucket}"
    office.configure(f'location = "{place}"\npasswords = "file:{office.root}/passwords"\nkms_key = "{key}"\n')
    text = office.config.read_text()
    office.config.write_text(text.replace('profile = "maintenance"', 'profile = "admin"'))  # whose policy names one bucket
    office.enroll()
    office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    assert admin.head_object(Bucket=bucket, Key="web1/config")["SSEKMSKeyId"] == key
    assert "heal" not in office.call("run", "--once", "--repository", "web1"), "what is under the key is true"
    iam = root_client("iam", office.sandbox.endpoint)
    user = user_of("web1", Place(bucket, "web1"))
    statements = iam.get_user_policy(UserName=user, PolicyName="repository")["PolicyDocument"]["Statement"]
    assert [one["Resource"] for one in statements if "kms:Decrypt" in one["Action"]] == [[key]]


def test_two_passwords_open_the_repository_and_neither_side_knows_the_others(office: Office) -> None:
    office.enroll()
    managed = (office.root / "passwords" / "web1").read_text().strip()
    hosts = office.environment()["RESTIC_PASSWORD"]
    assert managed != hosts != office.environment("local")["RESTIC_PASSWORD"]
    assert office.restic("key", "list").count("maintainer") == 1
    office.restic("cat", "config", more={"RESTIC_PASSWORD": managed})
    assert all(managed not in path.read_text() for path in (office.root / "web1").iterdir())
    assert hosts not in office.config.read_text() + managed
    assert (office.root / "passwords" / "web1").stat().st_mode & 0o077 == 0
    assert [(office.root / "web1" / name).stat().st_mode & 0o077 for name in ("offsite.env", "local.env", ".")] == [0, 0, 0]


@pytest.mark.restic_makes_it
def test_no_secret_stands_in_a_command_line_or_is_printed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    plain = subprocess.Popen.__init__

    def recorded(self: Any, args: Any, *words: Any, **more: Any) -> None:
        started.append(str(args))
        plain(self, args, *words, **more)

    monkeypatch.setattr(subprocess.Popen, "__init__", recorded)
    said = office.enroll() + office.enroll("--json")
    assert any("key" in line for line in started), "restic was recorded"
    secret = [(office.root / "passwords" / "web1").read_text().strip(), office.environment("local")["RESTIC_PASSWORD"]]
    secret += [office.environment()[name] for name in ("RESTIC_PASSWORD", "AWS_SECRET_ACCESS_KEY")]
    for one in secret:
        assert one not in said + "".join(started)


def test_again_it_changes_nothing_and_dry_it_changes_nothing_ever(office: Office) -> None:
    before = office.everything()
    assert "would be made a repository" in office.enroll("--dry-run")
    assert office.everything() == before
    office.enroll()
    made = office.everything()
    assert "is a repository that both passwords open" in office.enroll()
    office.enroll("--dry-run")
    assert office.everything() == made


@pytest.mark.matrix
@pytest.mark.parametrize("lost", ["passwords/web1", "web1/offsite.env", "web1", "maintainer.toml"])
def test_what_was_lost_on_the_way_is_made_anew(office: Office, lost: str) -> None:
    office.enroll()
    path = office.root / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    if lost == "maintainer.toml":
        office.configure()
    office.enroll()
    office.restic("backup", str(office.root / SOURCE))
    office.restic("cat", "config", more={"RESTIC_PASSWORD": (office.root / "passwords" / "web1").read_text().strip()})
    assert office.config.read_text().count('name = "web1"') == 1


def test_a_repository_that_neither_password_opens_is_left_alone(office: Office) -> None:
    office.enroll()
    shutil.rmtree(office.root / "web1")
    shutil.rmtree(office.root / "passwords")
    before = {key for key in office.everything() if key.startswith(office.name)}
    assert "neither" in office.enroll(code=2)
    assert {key for key in office.everything() if key.startswith(office.name)} == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["enroll", "../web1", "--path", "/srv"], "1 to 64 of a-z"),
        (["enroll", "web1/../db", "--path", "/srv"], "1 to 64 of a-z"),
        (["enroll", "Web1", "--path", "/srv"], "1 to 64 of a-z"),
        (["enroll", "web1", "--path", "srv"], "a path from the root on"),
        (["enroll", "web1", "--path", "/srv/../etc"], "a path from the root on"),
        (["enroll", "web1", "--path", "/srv\n/etc"], "a path from the root on"),
        (["enroll", "web1", "--path", "/srv", "--every", "2d"], "one of 1h, 6h, 12h, 1d and 7d"),
        (["enroll", "web1", "--path", "/srv", "--group", "others"], "no [group.others.hosts]"),
        (["enroll", "web1", "--path", "/srv", "--profile", "nobody"], "no profile 'nobody'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_made(office: Office, words: list[str], says: str) -> None:
    before = office.everything()
    assert says in office.call(*words, code=2)
    assert office.everything() == before


@pytest.mark.parametrize(("below", "name"), [("web1", "other"), ("web1/inside", "other"), ("", "other"), ("elsewhere", "web1")])
def test_a_place_that_is_another_s_is_refused(office: Office, below: str, name: str) -> None:
    location = f"{office.place}/{below}".rstrip("/")
    office.configure(more=f'[[repository]]\nname = "{name}"\nlocation = "{location}"\npassword = "file:/x"\n')
    before = office.everything()
    said = office.enroll(code=2)
    assert "lie one inside the other" in said or "a repository 'web1' at" in said
    assert office.everything() == before


def test_a_password_store_that_can_not_be_written_is_told_before_anything_is_made(office: Office) -> None:
    (office.root / "passwords").write_text("not a folder")
    before = office.everything()
    assert "can not be written" in office.enroll(code=2)
    assert office.everything() == before


def test_with_rights_that_do_not_reach_it_says_which_profile(office: Office) -> None:
    words = ("enroll", "web1", "--path", "/srv", "--output", str(office.root))
    assert "--profile" in office.call(*words, code=2)
    assert not (office.root / "web1").exists()


def test_a_store_that_takes_requests_and_never_answers_is_given_up(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolment, "ASKED_WITHIN", timedelta(seconds=2))
    monkeypatch.setattr(enrolment, "KNOWN_WITHIN_S", 1.0)
    with FaultyProxy(office.sandbox.endpoint, unknown=b"/config", answer=STALLED) as proxy:
        office.configure(
            f'location = "s3:{proxy.endpoint}/{office.sandbox.bucket}/{office.name}"\npasswords = "file:{office.root}/passwords"\n'
        )
        assert "its time was over" in office.enroll(code=4)
    office.configure()
    office.enroll()


def test_a_retired_host_has_no_way_any_more_and_its_repository_stays(office: Office) -> None:
    office.enroll()
    office.restic("backup", "--host", "web1", str(office.root / SOURCE))
    assert "is kept for ever" in office.call("retire", "web1", "--profile", "admin")
    assert json.loads(office.call("retire", "web1", "--profile", "admin", "--json"))["ended"] is False
    office.restic("snapshots", code=1)
    office.call("run", "--once", "--repository", "web1")


class Killed(BaseException):
    """As a cut line, a closed laptop or a signal ends it."""


EFFECTS = 10
"""What an enrolment does that lasts: a password, a user, its key, the files, what restic makes and tries, first contact, the configuration."""


@pytest.mark.matrix
@pytest.mark.parametrize("after", range(1, EFFECTS + 1))
def test_an_enrolment_that_was_cut_off_is_finished_by_the_same_command(office: Office, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    done = 0

    def counted(owner: object, name: str) -> None:
        plain = getattr(owner, name)

        def act(*words: object, **more: object) -> object:
            nonlocal done
            found = plain(*words, **more)
            done += 1
            if done == after:
                raise Killed
            return found

        monkeypatch.setattr(owner, name, act)

    for owner, name in (
        (secrets, "write"),
        (Iam, "keep_user"),
        (Iam, "make_key"),
        (enrolment, "write"),
        (Restic, "run"),
        (cli, "contact"),
        (cli, "_append"),
    ):
        counted(owner, name)
    with pytest.raises(Killed):
        office.enroll()
    if after == EFFECTS:
        assert office.config.read_text().count('name = "web1"') == 1, "it was the last"
    monkeypatch.undo()
    office.enroll()
    assert "that both passwords open" in office.enroll()
    office.restic("backup", str(office.root / SOURCE))
    assert office.config.read_text().count('name = "web1"') == 1
