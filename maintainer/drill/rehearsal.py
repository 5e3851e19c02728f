"""A rehearsal: each attack of the catalogue on a copy of its own in a sandbox, under a real repository's policy, and what came of it."""

from __future__ import annotations

import filecmp
import hashlib
import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from maintainer.agent.main import attend
from maintainer.core.errors import ExitCode, ResticError
from maintainer.core.events import Event
from maintainer.core.job import Access, Expected, Job, Place, RepositoryJob
from maintainer.core.moments import to_text
from maintainer.drill.catalogue import Attack
from maintainer.drill.forge import cheaper_key
from maintainer.edges.clock import Clock
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import new_run_id
from maintainer.format.crypto import MasterKey
from maintainer.format.files import open_key, parse_key
from maintainer.sandbox.daemon import Sandbox

HOST = "drill"
DAYS = 4
"""How many honest backups an attacked repository holds."""
FILE_BYTES = 100_000
LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attack. `noticed`: the next run's kinds of finding; `healed`: all good snapshots are whole, and it is quiet then."""

    attack: Attack
    noticed: tuple[str, ...]
    healed: bool
    seconds: float
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Tell whether it was noticed, where there is anything to notice, and healed."""
        return self.healed and bool(self.noticed) == bool(self.attack.noticed)


@dataclass
class _Repository:
    """A throw-away repository in the sandbox, as its host sees it, and as an attacker with the host's key does."""

    sandbox: Sandbox
    prefix: str
    password: str
    paths: tuple[str, ...]
    identity: str = "host"
    host: str = HOST

    def __post_init__(self) -> None:
        self._s3 = S3(Access(self.sandbox.endpoint, self.sandbox.region, self.identity, f"{self.sandbox.directory}/credentials"))

    def master_key(self) -> MasterKey:
        for key in self.objects("keys/"):
            with suppress(ValueError):
                return open_key(parse_key(self.get(key)), self.password)
        raise ResticError("the drill's own repository does not open", guidance="this is a fault of maintainer: please report it", status=12)

    def objects(self, folder: str = "") -> list[str]:
        return [key.removeprefix(f"{self.prefix}/") for key in self._s3.keys(self.sandbox.bucket, f"{self.prefix}/{folder}")]

    def get(self, key: str) -> bytes:
        return bytes(self._s3.call("get_object", Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}")["Body"].read())

    def put(self, key: str, body: bytes, **headers: Any) -> None:
        self._s3.call("put_object", Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}", Body=body, **headers)

    def hide(self, key: str) -> None:
        self._s3.call("delete_object", Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}")

    def restic(self, binary: str, *argv: str) -> str:
        """Run the host's own restic, straight on the bucket."""
        key = self.sandbox.credentials["host"]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RESTIC_"))},
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "RESTIC_PASSWORD": self.password,
            "TZ": "UTC",
        }
        location = f"s3:{self.sandbox.endpoint}/{self.sandbox.bucket}/{self.prefix}"
        command = [binary, "-r", location, "--no-cache", "-o", "s3.bucket-lookup=path", *argv]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT_S)  # noqa: S603 - argv is ours
        if done.returncode:
            said = done.stderr[-300:].strip()
            raise ResticError(f"restic {argv[0]}: {said}", guidance="this is the drill's own repository", status=done.returncode)
        return done.stdout


class Rehearsal:
    """Goes through attacks one by one. All that it makes lies in the sandbox and in `directory`."""

    def __init__(self, sandbox: Sandbox, directory: Path, like: RepositoryJob, restic: str, clock: Clock) -> None:
        """Attack copies under the policy and limits of `like`, whose own repository is not touched."""
        self._sandbox = sandbox
        self._directory = directory
        self._like = like
        self._restic = restic
        self._clock = clock
        self._password = secrets.token_urlsafe(16)
        self._source = directory / "source"
        self._trees: dict[str, Path] = {}
        self._base: dict[str, bytes] = {}
        (directory / "password").write_text(self._password)

    def prepare(self) -> None:
        """Make the repository that every attack gets a copy of: a few honest days."""
        made = self._repository("base", "host")
        made.restic(self._restic, "init")
        (slow,) = made.objects("keys/")
        cheap = cheaper_key(made.get(slow), self._password)
        self._source.mkdir()
        (self._source / "stays").write_bytes(os.urandom(FILE_BYTES))
        now = self._clock.now()
        for day in range(DAYS):
            (self._source / f"day{day}").write_bytes(os.urandom(FILE_BYTES))
            at = (now - timedelta(days=DAYS - day, hours=1)).strftime("%Y-%m-%d %H:%M:%S")
            told = made.restic(self._restic, "backup", "--json", "--host", HOST, "--time", at, str(self._source))
            snapshot = str(json.loads(told.splitlines()[-1])["snapshot_id"])
            self._trees[snapshot] = self._directory / "trees" / snapshot
            shutil.copytree(self._source, self._trees[snapshot])
        self._base = {key: made.get(key) for key in made.objects() if key != slow and not key.startswith("locks/")}
        self._base[f"keys/{hashlib.sha256(cheap).hexdigest()}"] = cheap

    def rehearse(self, attacks: Iterable[Attack]) -> Iterator[Outcome]:
        """Carry each attack out on a copy, and run as on any night; yield what came of it."""
        for number, attack in enumerate(attacks):
            started = self._clock.monotonic()
            victim = self._repository(f"victim{number}", "admin" if attack.wide else "host")
            for key, body in self._base.items():
                victim.put(key, body)
            code, _, reason = self._run(victim)
            noticed: tuple[str, ...] = ()
            healed = False
            if code is ExitCode.COMMITTED:
                attack.act(victim, self._clock.now())
                code, noticed, reason = self._run(victim)
                if code in (ExitCode.COMMITTED, ExitCode.ATTENTION):
                    healed = all(self._is_whole(victim, snapshot) for snapshot in self._trees)
                    code, after, reason = self._run(victim)
                    healed = healed and code is ExitCode.COMMITTED and not after
            yield Outcome(attack, noticed, healed, self._clock.monotonic() - started, reason)

    def _repository(self, name: str, identity: str) -> _Repository:
        return _Repository(self._sandbox, name, self._password, (str(self._source),), identity)

    def _run(self, victim: _Repository) -> tuple[ExitCode, tuple[str, ...], str]:
        """Run the agent once; return how it ended, the kinds of its new findings, and why it failed."""
        sandbox = self._sandbox
        job = replace(
            self._like,
            name=victim.prefix,
            place=Place(sandbox.bucket, victim.prefix, sandbox.endpoint),
            password=f"file:{self._directory / 'password'}",
            expect=(Expected(HOST, victim.paths),),
            host_profile="",
            kms_key="",
        )
        events: list[Event] = []
        code = attend(
            Job(
                run_id=new_run_id(to_text(self._clock.now())),
                access=Access(sandbox.endpoint, sandbox.region, "maintenance", f"{sandbox.directory}/credentials"),
                state=Place(sandbox.state_bucket, "drill", sandbox.endpoint),
                repositories=(job,),
                restic=self._restic,
            ),
            events.append,
        )
        found = {str(e.fields["kind"]) for e in events if e.event == "finding.reported" and e.fields["standing"] == "new"}
        reasons = [str(e.fields["reason"]) for e in events if e.event == "run.failed"]
        return code, tuple(sorted(found)), "; ".join(reasons)

    def _is_whole(self, victim: _Repository, snapshot: str) -> bool:
        target = self._directory / "restored"
        shutil.rmtree(target, ignore_errors=True)
        try:
            victim.restic(self._restic, "restore", "--no-lock", snapshot, "--target", str(target))
        except ResticError:
            return False
        restored = target / str(self._source).lstrip("/")
        names = sorted(path.name for path in self._trees[snapshot].iterdir())
        if names != sorted(path.name for path in restored.iterdir()):
            return False
        return filecmp.cmpfiles(self._trees[snapshot], restored, names, shallow=False)[0] == names
