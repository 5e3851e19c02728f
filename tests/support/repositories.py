"""Real restic repositories for tests and the demo: made fast, backed up to as the host, attacked, restored and compared."""

from __future__ import annotations

import fcntl
import filecmp
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from maintainer.drill.forge import cheaper_key
from maintainer.format.boundary import FormatError
from maintainer.format.crypto import MasterKey
from maintainer.format.files import open_key, parse_key
from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import client
from tests.support.patience import PATIENCE_S

RESTIC = str(Path(sys.prefix) / "bin" / "restic")
NEWEST = f"{RESTIC}-newest"
"""Debian stable's, and sid's."""
BOTH = pytest.mark.parametrize("restic", [RESTIC, NEWEST], ids=["restic", "the newest restic"])
"""For tests of a host and a maintainer that both use the one, or the other."""

Made: TypeAlias = dict[str, bytes]
"""A repository without snapshots: its config and its key, by their keys below the prefix."""


def shared_folder(run: int) -> Path:
    """Return what the workers of one run share; `run` is the process that they belong to, which removes it at the end."""
    return Path(tempfile.gettempdir()) / f"maintainer-tests-{run}"


@cache
def made_by_restic(password: str, *, fast: bool) -> Made:
    """Return what `restic init` makes: once for all workers of a run. `fast` gives it a key of little cost, for the same master key."""
    name = hashlib.sha256(f"{password} {fast}".encode()).hexdigest()
    shared = shared_folder(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
    shared.mkdir(exist_ok=True)
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / name
        if not folder.exists():
            part = shared / f"{name}.part"
            environment = {**os.environ, "RESTIC_PASSWORD": password}
            subprocess.run([RESTIC, "init", "-r", part], env=environment, capture_output=True, check=True, timeout=PATIENCE_S)
            part.rename(folder)
        (key,) = (folder / "keys").iterdir()
        body = cheaper_key(key.read_bytes(), password) if fast else key.read_bytes()
        return {"config": (folder / "config").read_bytes(), f"keys/{hashlib.sha256(body).hexdigest()}": body}


@dataclass
class Repository:
    """A repository in the sandbox's bucket, as its host sees it. `trees` keeps a copy of what each good snapshot holds."""

    sandbox: Sandbox
    prefix: str
    root: Path
    password: str = "correct horse"
    host: str = "web1"
    trees: dict[str, Path] = field(default_factory=dict)
    backed_up: Path | None = None
    """What is backed up, where it is not a folder of this repository's own."""
    binary: str = RESTIC
    _master: MasterKey | None = None
    tolerated: tuple[int, ...] = (0,)
    """How a backup may end: with 3 where restic could not read the snapshot that it took for its parent."""

    @property
    def location(self) -> str:
        return f"s3:{self.sandbox.endpoint}/{self.sandbox.bucket}/{self.prefix}"

    @property
    def source(self) -> Path:
        path = self.backed_up or self.root / "source"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def environment(self, identity: str = "host") -> dict[str, str]:
        key = self.sandbox.credentials[identity]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RESTIC_"))},
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "RESTIC_PASSWORD": self.password,
        }

    def restic(self, *argv: str, check: bool = True, identity: str = "host", location: str = "") -> subprocess.CompletedProcess[str]:
        command = [self.binary, "-r", location or self.location, "--no-cache", "-o", "s3.bucket-lookup=path", *argv]
        done = subprocess.run(command, env=self.environment(identity), capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        if check and done.returncode:
            raise AssertionError(f"restic {argv}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def init(self, *, fast: bool = True) -> None:
        """Make the repository, as a copy of what restic made: the same config and master key for each password.

        `fast` puts a key of little cost in the place of restic's, which takes half a second to open.
        """
        for key, body in made_by_restic(self.password, fast=fast).items():
            self.put(key, body)

    @property
    def paths(self) -> tuple[str, ...]:
        return (str(self.source),)

    def master_key(self) -> MasterKey:
        """Open the repository as whoever holds the password can; who has once need not again."""
        if self._master is not None:
            return self._master
        for key in self.objects("keys/"):
            with suppress(FormatError):
                self._master = open_key(parse_key(self.get(key)), self.password)
                return self._master
        raise AssertionError("no key opens")

    def backup(self, *, time: datetime | None = None, host: str = "", good: bool = True, path: Path | None = None) -> str:
        """Back the source up as the host; return the snapshot's id. restic's own clock is the real one: `time` moves it."""
        when = ["--time", time.strftime("%Y-%m-%d %H:%M:%S")] if time else []
        env_tz = {"TZ": "UTC"}
        command = [
            self.binary,
            "-r",
            self.location,
            "--no-cache",
            "-o",
            "s3.bucket-lookup=path",
            "backup",
            "--json",
            "--host",
            host or self.host,
        ]
        done = subprocess.run(
            [*command, *when, str(path or self.source)],
            env={**self.environment(), **env_tz},
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        if done.returncode not in self.tolerated:
            raise AssertionError(f"backup: {done.returncode}\n{done.stdout}\n{done.stderr}")
        snapshot = next(str(json.loads(line)["snapshot_id"]) for line in reversed(done.stdout.splitlines()) if "snapshot_id" in line)
        if good:
            kept = self.root / "trees" / snapshot
            shutil.copytree(path or self.source, kept)
            self.trees[snapshot] = kept
        return snapshot

    def write(self, name: str, size: int, seed: int) -> None:
        (self.source / name).write_bytes(random.Random(seed).randbytes(size))

    def change(self, number: int, size: int) -> None:
        """Change the source: a file comes, two stay in the pack of the first, and the file before the last goes. So a prune repacks."""
        self.write("stays", 60_000, 77)
        self.write("stays too", 50_000, 78)
        self.write(f"file{number}", size, number)
        (self.source / f"file{number - 2}").unlink(missing_ok=True)

    def verify(self, snapshot: str, *, location: str = "", identity: str = "host") -> None:
        """Restore one snapshot and compare every byte with what was backed up."""
        target = self.root / "restored" / snapshot
        shutil.rmtree(target, ignore_errors=True)
        self.restic("restore", "--no-lock", snapshot, "--target", str(target), location=location, identity=identity)
        restored = target / str(self.source).lstrip("/")
        compare(self.trees[snapshot], restored)
        shutil.rmtree(target)

    # What the bucket holds, and what an attacker does to it.

    def s3(self, identity: str = "host") -> Any:
        return client(self.sandbox, identity)

    def objects(self, folder: str = "") -> list[str]:
        """Return the current keys below the prefix."""
        pages = self.s3("admin").get_paginator("list_objects_v2").paginate(Bucket=self.sandbox.bucket, Prefix=f"{self.prefix}/{folder}")
        return [entry["Key"].removeprefix(f"{self.prefix}/") for page in pages for entry in page.get("Contents", ())]

    def versions(self) -> set[tuple[str, str]]:
        """Return every (key, version id) below the prefix, markers included."""
        found: set[tuple[str, str]] = set()
        for page in self.s3("admin").get_paginator("list_object_versions").paginate(Bucket=self.sandbox.bucket, Prefix=f"{self.prefix}/"):
            for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                found.add((entry["Key"], entry["VersionId"]))
        return found

    def markers(self) -> set[tuple[str, str]]:
        """Return every delete marker below the prefix, as (key, version id)."""
        pages = self.s3("admin").get_paginator("list_object_versions").paginate(Bucket=self.sandbox.bucket, Prefix=f"{self.prefix}/")
        return {(one["Key"], one["VersionId"]) for page in pages for one in page.get("DeleteMarkers", ())}

    def put(self, key: str, body: bytes, identity: str = "host", **headers: Any) -> None:
        self.s3(identity).put_object(Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}", Body=body, **headers)

    def get(self, key: str) -> bytes:
        return bytes(self.s3("admin").get_object(Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}")["Body"].read())

    def hide(self, key: str) -> None:
        """Delete as somebody whose policy was left too wide."""
        self.s3("admin").delete_object(Bucket=self.sandbox.bucket, Key=f"{self.prefix}/{key}")


def compare(left: Path, right: Path) -> None:
    """Compare two trees byte for byte; AssertionError names what differs."""
    found = filecmp.dircmp(left, right)
    assert not found.left_only, found.left_only
    assert not found.right_only, found.right_only
    _, mismatch, errors = filecmp.cmpfiles(left, right, found.common_files, shallow=False)
    assert not mismatch, mismatch
    assert not errors, errors
    for name in found.common_dirs:
        compare(left / name, right / name)
