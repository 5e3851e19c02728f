"""First contact harms nothing: whatever restic could list, check, restore and back up before our first run it can after three nights.

A seed chooses what lies there: readings, damage, junk, dates, sizes, programs. `python -m tests.attacks.test_first_contact SECONDS [SEED]`
goes on for as long, seed after seed, and says which seed failed.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.format.crypto import decrypt, unpack
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_honest_indexes import halves, rustic
from tests.support.agents import Maintained
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository
from tests.support.seeds import go_on

SEEDS = range(8)
ACCUSING = {"poisoned-index", "replayed", "index-names-doomed-packs", "not-plain"}
"""Findings that call somebody a liar: nothing here is a lie."""


@dataclass
class Seen:
    """What restic can do with a repository: by snapshot the files that it restores, with their hashes, and how it ends otherwise."""

    restored: dict[str, dict[str, str]] = field(default_factory=dict)
    checks: bool = False
    backs_up: bool = False


def look(repository: Repository) -> Seen:
    """Try all of it, and change nothing."""
    listed = repository.restic("snapshots", "--json", "--no-lock", check=False)
    ids = [one["id"] for one in json.loads(listed.stdout or "[]")] if listed.returncode == 0 else []
    seen = Seen({one: restored(repository, one) for one in ids})
    seen.checks = not repository.restic("check", "--read-data", "--no-lock", check=False).returncode
    tried = repository.restic("backup", "--dry-run", "--host", repository.host, str(repository.source), check=False)
    # 3: restic could not read all of the backup before, and has read all files again.
    seen.backs_up = tried.returncode in (0, 3)
    return seen


def restored(repository: Repository, snapshot: str) -> dict[str, str]:
    """Restore as much of a snapshot as restic can."""
    target = repository.root / "seen"
    shutil.rmtree(target, ignore_errors=True)
    repository.restic("restore", "--no-lock", snapshot, "--target", str(target), check=False)
    files = (path for path in target.rglob("*") if path.is_file()) if target.exists() else ()
    return {str(path.relative_to(target)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dumped(repository: Repository, snapshot: str, name: str) -> str:
    """Return the hash of what restic gives of one file."""
    command = [repository.binary, "-r", repository.location, "--no-cache", "-o", "s3.bucket-lookup=path", "--no-lock"]
    done = subprocess.run(
        [*command, "dump", snapshot, f"/{name}"], env=repository.environment(), capture_output=True, check=False, timeout=PATIENCE_S
    )
    return hashlib.sha256(done.stdout).hexdigest() if done.returncode == 0 else ""


class Mixture:
    """Does to a repository what a seed says, of all that people and chance do to repositories."""

    def __init__(self, repository: Repository, seed: int) -> None:
        self.repository = repository
        self.random = random.Random(seed)
        self.did: list[str] = []
        self.is_lossy = False

    def make(self) -> None:
        """Make a repository with a history, and let some things happen to it."""
        r, repository = self.random, self.repository
        if r.random() < 0.3:
            repository.restic("init", "--repository-version", r.choice("12"))
        else:
            repository.init()
        for number in range(r.randrange(1, 5)):
            self._back_up(number)
        acts: list[Callable[[], None]] = [
            self._lose_pack, self._lose_index, self._spoil_pack, self._overwrite, self._junk, self._junk, self._colleague, self._key_again,
            self._other_form, self._older_key, self._mirror, self._stale_lock, self._deleted_before, self._unfinished, self._wrong_folder,
        ]  # fmt: skip
        for act in r.sample(acts, r.randrange(1, 5)):
            self.did.append(act.__name__)
            act()

    def _back_up(self, number: int) -> None:
        r, repository = self.random, self.repository
        for one in range(r.randrange(1, 4)):
            repository.write(f"file{number}.{one}", r.choice([0, 1, 5_000, 70_000, 900_000]), 100 * number + one)
        when = datetime.now(UTC) - timedelta(days=r.choice([3, 40, 400])) if r.random() < 0.3 else None
        repository.backup(time=when, host=r.choice(["web1", "web1", "other"]))

    def _any(self, folder: str) -> str | None:
        found = self.repository.objects(folder)
        return self.random.choice(found) if found else None

    def destroy(self, key: str) -> None:
        """Delete each version of a key for good, as a store that loses it does."""
        s3, bucket, name = self.repository.s3("admin"), self.repository.sandbox.bucket, f"{self.repository.prefix}/{key}"
        found = s3.list_object_versions(Bucket=bucket, Prefix=name)
        for one in [*found.get("Versions", ()), *found.get("DeleteMarkers", ())]:
            if one["Key"] == name:
                s3.delete_object(Bucket=bucket, Key=name, VersionId=one["VersionId"])

    def _lose_pack(self) -> None:
        if key := self._any("data/"):
            self.destroy(key)
            self.is_lossy = True

    def _lose_index(self) -> None:
        if key := self._any("index/"):
            self.destroy(key)
            self.is_lossy = True

    def _spoil_pack(self) -> None:
        """Bit rot, or a file that was cut: of what is there no version is true."""
        if key := self._any("data/"):
            body = bytearray(self.repository.get(key))
            at = self.random.randrange(len(body))
            body = body[:at] if self.random.random() < 0.3 else body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            self.destroy(key)
            self.repository.put(key, bytes(body))
            self.is_lossy = True

    def _overwrite(self) -> None:
        """Somebody overwrote a file: the true version is below."""
        if key := self._any(self.random.choice(["data/", "index/", "snapshots/", "config"])):
            self.repository.put(key, self.random.randbytes(self.random.randrange(300)))

    def _junk(self) -> None:
        name = self.random.choice(
            ["notes.txt", ".DS_Store", "data/README", "snapshots/.tmp", "index/abc", "locks/x", "data/", "old/config"]
        )
        self.repository.put(name, self.random.randbytes(self.random.randrange(100)))

    def _colleague(self) -> None:
        """A key of another password."""
        self._add_key("another password")

    def _key_again(self) -> None:
        """A key of the same password, and of the same master key."""
        self._add_key(self.repository.password)

    def _add_key(self, password: str) -> None:
        file = self.repository.root / "new-password"
        file.write_text(password)
        self.repository.restic("key", "add", "--new-password-file", str(file))

    def _other_form(self) -> None:
        """An index as rustic writes it, or as an old restic did, in the place of restic's own."""
        if not (key := self._any("index/")):
            return
        master = self.repository.master_key()
        try:
            packs = json.loads(unpack(decrypt(master, self.repository.get(key)), 1 << 20))["packs"]
        except ValueError:
            return
        self.destroy(key)
        for value in self.random.choice([halves, rustic])(packs):
            made = forge.forged(FileType.INDEX, forge.seal(master, forge.compact(value)))
            self.repository.put(made.key, made.body)

    def _older_key(self) -> None:
        """The key of an init that was interrupted before it had put its config: of the same password, older than the true one."""
        other = Repository(self.repository.sandbox, f"o-{uuid.uuid4().hex[:12]}", self.repository.root / "other")
        other.restic("init")
        for key in other.objects("keys/"):
            self.repository.put(key, other.get(key))

    def _mirror(self) -> None:
        """Copied here by another program: other metadata, another content type."""
        for key in self.repository.objects():
            self.repository.put(key, self.repository.get(key), Metadata={"mc-attrs": "mtime:1700000000"}, ContentType="text/plain")

    def _stale_lock(self) -> None:
        text = {"time": "2026-01-01T00:00:00Z", "exclusive": False, "hostname": "web1", "username": "root", "pid": 1}
        made = forge.forged(FileType.LOCK, forge.seal(self.repository.master_key(), forge.compact(text)))
        self.repository.put(made.key, made.body)

    def _deleted_before(self) -> None:
        """A snapshot was forgotten before, by restic itself."""
        if key := self._any("snapshots/"):
            self.repository.hide(key)
            self.repository.trees.pop(key.partition("/")[2], None)

    def _unfinished(self) -> None:
        """A backup that was interrupted: packs that no index names."""
        name = self.random.randrange(1000)
        self.repository.write(f"unfinished{name}", 50_000, name)
        before = set(self.repository.objects())
        self.repository.tolerated = (0, 3)  # of what was lost before restic may miss the parent
        self.repository.backup(good=False)
        for key in set(self.repository.objects()) - before:
            if key.partition("/")[0] in ("snapshots", "index"):
                self.destroy(key)
        (self.repository.source / f"unfinished{name}").unlink()

    def _wrong_folder(self) -> None:
        if key := self._any("data/"):
            self.repository.put(f"data/00/{key.rpartition('/')[2]}", self.repository.get(key))


def harm_nothing(sandbox: Sandbox, root: Path, seed: int) -> None:
    """Live through three nights; AssertionError where restic could do more before."""
    repository = Repository(sandbox, f"c-{uuid.uuid4().hex[:12]}", root)
    mixture = Mixture(repository, seed)
    mixture.make()
    time.sleep(1.1)
    before, versions = look(repository), repository.versions()
    maintained = Maintained(repository, Keep(last=100))
    if mixture.random.random() < 0.7:
        maintained.expect_host()
    told: list[str] = []
    for day in (0, 1, 16):
        maintained.pass_days(day)
        ran = maintained.run()
        told.append(f"day {day}: {ran.code}, {ran.findings()}")
        story = f"seed {seed}: {mixture.did}\n{told}\n{ran.why()}"
        if ran.code == 4 and "accept" in ran.why() and "reading:" in ran.why():
            assert repository.versions() == versions, story
            return
        assert ran.code in (0, 3), story
        assert not ACCUSING & set(ran.findings()), story
        if day != 1:  # a look is dear, and the second night's is within the third's
            compare(repository, before, look(repository), story)
    repository.tolerated = (0,) if before.backs_up and not mixture.is_lossy else (0, 3)
    repository.write("the next", 50_000, 999)
    made = repository.backup(good=not mixture.is_lossy)
    if not mixture.is_lossy:
        repository.verify(made)
    assert maintained.run().code in (0, 3), story


def compare(repository: Repository, before: Seen, after: Seen, story: str) -> None:
    """Make sure that restic can do as much after as before."""
    assert before.restored.keys() <= after.restored.keys(), f"snapshots are gone: {story}"
    for snapshot, files in before.restored.items():
        lost = {name for name, digest in files.items() if after.restored[snapshot].get(name) != digest}
        # restic restores nothing of a snapshot where an index lacks a blob; each of its other files by itself it gives all the same.
        lost = {name for name in lost if dumped(repository, snapshot, name) != files[name]}
        assert not lost, f"{snapshot} lost {lost}: {story}"
    assert after.checks >= before.checks, f"the check fails: {story}"
    assert after.backs_up >= before.backs_up, f"no backup any more: {story}"


@pytest.mark.matrix(kind=lambda seed: 0)
@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_restic_could_do_before_it_can_after_three_nights(timed_sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    harm_nothing(timed_sandbox, tmp_path, seed)


if __name__ == "__main__":
    sys.exit(go_on(harm_nothing))
