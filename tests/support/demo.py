"""The demonstration: a repository is attacked with its host's own key and password, and one command heals it. Run by script/demo."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from maintainer.edges.clock import SystemClock
from maintainer.sandbox import daemon
from maintainer.sandbox.plant import Plant
from maintainer.sandbox.provision import keep_password
from tests.support.repositories import Repository

COMMAND = Path(sys.executable).with_name("maintainer")
DAYS = (0, 10, 20, 30, 40, 50, 60)
KEEP_LAST = 3


def chapter(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def tell(text: str) -> None:
    print(f"   {text}", flush=True)


def maintainer(config: str, *words: str, expect: int) -> None:
    """Run one command as a user would, with its own output in sight; its exit code is part of the story."""
    print(f"   $ maintainer {' '.join(words)}", flush=True)
    environment = {**os.environ, "MAINTAINER_CONFIG": config}
    with subprocess.Popen([COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(f"   | {line}", end="", flush=True)
    if process.returncode != expect:
        sys.exit(f"demo: expected exit {expect}, got {process.returncode}")


def back_up(repository: Repository, sandbox: daemon.Sandbox, config: str) -> None:
    chapter("1. A host backs up real files for sixty days, with a key that can not delete.")
    shutil.copytree("/etc", repository.source / "etc", symlinks=True, ignore_dangling_symlinks=True, ignore=unreadable)
    for day in DAYS:
        daemon.move_clock(Path(sandbox.directory), day * 86_400)
        repository.write("database.dump", 400_000, day)
        repository.write(f"day{day}.log", 60_000, 1000 + day)
        repository.backup(time=datetime.now(UTC) + timedelta(days=day))
    tell(f"{len(repository.trees)} snapshots, {len(repository.objects())} objects in the bucket")
    with Path(config).open("a", encoding="utf-8") as file:
        file.write(f'[[repository]]\nname = "web"\nlocation = "{repository.location}"\n')
        file.write(f'password = "{keep_password(sandbox.endpoint, "web", repository.password)}"\n[repository.keep]\nlast = {KEEP_LAST}\n')


def unreadable(folder: str, names: list[str]) -> set[str]:
    """Leave out what this user can not read, and everything that is no plain file or folder."""
    paths = {name: Path(folder) / name for name in names}
    return {
        name for name, path in paths.items() if not os.access(path, os.R_OK) or path.is_symlink() or not (path.is_file() or path.is_dir())
    }


def attack(repository: Repository) -> None:
    chapter("3. Somebody takes the host over: its S3 key, and the repository's password.")
    poison(repository)
    packs = repository.objects("data/")
    for number, key in enumerate(packs[: len(packs) // 2]):
        body = repository.get(key)
        repository.put(key, [os.urandom(len(body)), b"", body[:-1]][number % 3])
    tell(f"{len(packs) // 2} of {len(packs)} packs are overwritten: with random bytes, with nothing, truncated")
    repository.put("config", os.urandom(155))
    tell("config is overwritten")
    garbage = os.urandom(300)
    repository.put(f"index/{hashlib.sha256(garbage).hexdigest()}", garbage)
    tell("garbage lies in index/, under its own true hash: plain restic fails on every command")
    index = repository.objects("index/")[0]
    repository.put(index, repository.get(index), ContentEncoding="gzip")
    tell("an index is put again, byte for byte, but with Content-Encoding: gzip")
    victim = list(repository.trees)[3]
    repository.hide(f"snapshots/{victim}")
    tell(f"and since the bucket's policy was left too wide, snapshot {victim[:8]} is deleted")
    done = repository.restic("snapshots", check=False)
    tell(f"plain restic now: exit {done.returncode}: {(done.stderr.strip().splitlines() or ['?'])[-1][:100]}")


def poison(repository: Repository) -> None:
    """Put snapshots from the future, while plain restic still opens the repository."""
    tell("seven snapshots claim to be from the years to come, to push the honest ones out of the policy")
    decoy = repository.root / "decoy"
    decoy.mkdir()
    (decoy / "x").write_text("x", encoding="utf-8")
    for year in range(1, 8):
        repository.backup(time=datetime.now(UTC) + timedelta(days=60 + 365 * year), path=decoy, good=False)


def restore(repository: Repository, forgotten: int) -> None:
    chapter("5. Every good snapshot that the policy keeps is restored, and compared byte for byte.")
    for snapshot in list(repository.trees)[forgotten:]:
        repository.verify(snapshot)
        files = sum(path.is_file() for path in repository.trees[snapshot].rglob("*"))
        tell(f"{snapshot[:8]}: {files} files, identical")


def story(directory: Path) -> None:
    chapter(
        "A sandbox starts: S3 with access control, and EC2 whose instances are real machines. The first time their image is built: a minute or two."
    )
    sandbox = daemon.start(directory / "sandbox", SystemClock())
    try:
        repository = Repository(sandbox, "web", directory)
        repository.init()
        back_up(repository, sandbox, sandbox.config)
        chapter("2. The first run, on an instance of its own, only looks: it asks whether these are your hosts and paths.")
        maintainer(sandbox.config, "run", "--once", expect=3)
        maintainer(sandbox.config, "accept", "web", expect=0)
        poisoned_before = repository.objects("snapshots/")
        attack(repository)
        chapter("4. One command heals it, forgets what the policy honestly lets go, proves every byte, and says what it found.")
        maintainer(sandbox.config, "run", "--once", expect=3)
        honest = [f"snapshots/{snapshot}" for snapshot in repository.trees]
        left = repository.objects("snapshots/")
        forgotten = [key for key in honest if key not in left]
        if len(forgotten) != 2 or forgotten != honest[:2] or len(poisoned_before) != len(DAYS):
            sys.exit(f"demo: the wrong snapshots were forgotten: {forgotten}")
        restore(repository, len(forgotten))
        chapter("6. The next run has nothing new to say, and the one after it writes nothing into the repository.")
        maintainer(sandbox.config, "run", "--once", expect=0)
        before = repository.versions()
        maintainer(sandbox.config, "run", "--once", expect=0)
        if repository.versions() != before:
            sys.exit("demo: the third run wrote something")
        left_over = Plant.read(directory / "sandbox").client("ec2").describe_instances()["Reservations"]
        if any(one["State"]["Name"] != "terminated" for reservation in left_over for one in reservation["Instances"]):
            sys.exit("demo: an instance was left")
        chapter("Every instance was terminated. The overwritten versions are still there, as evidence. Nothing else is left behind.")
    finally:
        daemon.stop(directory / "sandbox", SystemClock())


def main() -> None:
    """Tell the story in a directory of its own, which goes in the end."""
    directory = Path(tempfile.mkdtemp(prefix="maintainer-demo-"))
    try:
        story(directory)
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
