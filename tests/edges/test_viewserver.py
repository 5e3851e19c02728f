"""Real restic through the view: what it does stays out of the bucket but for new objects, and what happens there it never sees."""

from __future__ import annotations

import errno
import hashlib
import http.client
import socket
import uuid
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from maintainer.core.job import Keep
from maintainer.core.repofiles import FileType
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from maintainer.edges import keptfiles, restic, viewserver
from maintainer.edges.keptfiles import KeptFiles
from maintainer.edges.restic import check_argv, find
from maintainer.edges.viewserver import Permissions, ViewServer, ViewStore
from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import store
from tests.support.repositories import BOTH, Repository

KEEP_TWO = Keep(last=2)


@pytest.fixture
def repository(sandbox: Sandbox, tmp_path: Path) -> Repository:
    """Three snapshots, whose oldest shares half a pack with the others: prune must repack."""
    made = Repository(sandbox, f"view-{uuid.uuid4().hex}", tmp_path)
    made.init()
    made.write("goes", 900_000, 1)
    made.write("stays", 300_000, 2)
    made.backup()
    (made.source / "goes").unlink()
    for seed in (3, 4):
        made.write("new", 200_000, seed)
        made.backup()
    return made


def current(repository: Repository) -> dict[str, ObjectVersion]:
    mine = store(repository.sandbox, repository.prefix)
    shown: dict[str, ObjectVersion] = {}
    for version in mine.survey():
        if version.key not in shown:
            shown[version.key] = version
    return {key: version for key, version in shown.items() if not version.is_marker}


@pytest.mark.parametrize("redirect", [True, False], ids=["redirect", "relay"])
def test_forget_prune_and_check_on_a_view_leave_the_bucket_unchanged_but_for_new_objects(repository: Repository, redirect: bool) -> None:
    mine = store(repository.sandbox, repository.prefix)
    before = repository.versions()
    announced: list[str] = []
    permissions = Permissions(write=True, delete=True, announce=lambda file: announced.append(file.key()))
    tool = restic.find()
    view = View(current(repository))
    for kind in ("snapshots", "index", "data/ab", "keys"):  # garbage and overwrites come after the freeze
        repository.put(f"{kind}/{hashlib.sha256(kind.encode()).hexdigest()}", b"garbage")
    for key in repository.objects("data/"):
        repository.put(key, b"overwritten")
    attacked = repository.versions()
    with ViewServer(view, mine, permissions, redirect=redirect) as server:
        proposal = restic.parse_policy(tool.demand(server.address, repository.password, restic.policy_argv(KEEP_TWO)))
        assert len(proposal.remove) == 1
        tool.demand(server.address, repository.password, restic.forget_argv(proposal.remove))
        tool.demand(server.address, repository.password, restic.prune_argv())
        tool.demand(server.address, repository.password, restic.check_argv(read_data=True))
        left = restic.parse_snapshots(tool.demand(server.address, repository.password, restic.snapshots_argv()))
        assert {snapshot.id for snapshot in left} == set(proposal.keep)
        for snapshot in left:
            repository.verify(snapshot.id, location=server.address)
    assert before < attacked
    new = {key.removeprefix(f"{repository.prefix}/") for key, _ in repository.versions() - attacked}
    assert new == set(view.written) == set(announced)
    assert {key.partition("/")[0] for key in view.written} == {"data", "index"}
    assert {key.partition("/")[0] for key in view.deleted} == {"data", "index", "snapshots"}


@pytest.mark.parametrize("argv", [restic.forget_argv(["latest"]), ("key", "add", "--insecure-no-password"), ("init",)])
def test_a_view_to_read_refuses_every_change(repository: Repository, argv: tuple[str, ...]) -> None:
    before = repository.versions()
    view = View(current(repository))
    shown = dict(view.standing())
    with ViewServer(view, store(repository.sandbox, repository.prefix), Permissions(), redirect=True) as server:
        restic.find().run(server.address, repository.password, argv)
    assert repository.versions() == before
    assert dict(view.standing()) == shown


def test_the_view_has_locks_of_its_own(repository: Repository) -> None:
    repository.put("locks/" + "0" * 64, b"garbage")
    view = View(current(repository))
    with ViewServer(view, store(repository.sandbox, repository.prefix), Permissions(write=True, delete=True), redirect=True) as server:
        restic.find().demand(server.address, repository.password, restic.prune_argv())
    assert list(view.listing(FileType.LOCK)) == []


@BOTH
def test_a_check_of_every_byte_asks_for_each_pack_as_a_whole_once(repository: Repository, restic: str) -> None:
    shown = current(repository)
    sizes = [version.size for key, version in shown.items() if key.startswith("data/")]
    tool = find(restic)
    with ViewServer(View(shown), store(repository.sandbox, repository.prefix), Permissions(), redirect=True) as server:
        for read_data, counted in ((False, (0, 0)), (True, (len(sizes), sum(sizes)))):
            server.count_packs()
            tool.demand(server.address, repository.password, check_argv(read_data=read_data))
            assert server.packs_read == counted


def get(server: ViewServer, key: str, headers: dict[str, str]) -> bytes:
    """Ask for a pack as restic does."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(server.address.removeprefix("rest:http+unix://").removesuffix(":/"))
    connection.request("GET", f"/data/{key.rpartition('/')[2]}", headers=headers)
    answer = connection.getresponse()
    assert answer.status == (206 if headers else 200)
    body = answer.read()
    connection.close()
    return body


class Counted:
    """A store that counts what is read of each version."""

    def __init__(self, real: ViewStore) -> None:
        self.real = real
        self.reads: Counter[str] = Counter()
        self.parts = 0

    def url(self, version: ObjectVersion) -> str:
        return self.real.url(version)

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        self.reads[version.key] += 1
        return self.real.read(version, limit)

    def save(self, version: ObjectVersion, limit: int, file: BinaryIO) -> None:
        self.reads[version.key] += 1
        self.real.save(version, limit, file)

    def read_part(self, version: ObjectVersion, start: int, end: int) -> bytes:
        self.parts += end - start
        return self.real.read_part(version, start, end)

    def put(self, key: str, body: bytes) -> ObjectVersion:
        return self.real.put(key, body)


@pytest.mark.parametrize(
    ("asked", "span"),
    [("bytes=10-69", (10, 70)), ("bytes=0-0", (0, 1)), ("bytes=100-", (100, None)), ("", (0, None)), ("bytes=20-99999999999", (20, None))],
)
def test_of_a_pack_no_more_is_read_than_is_asked_for_and_nothing_kept(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, asked: str, span: tuple[int, int | None]
) -> None:
    monkeypatch.setattr(viewserver, "PIECE", 1000)
    counted = Counted(store(repository.sandbox, repository.prefix))
    kept = KeptFiles(counted)
    shown = current(repository)
    packs = [key for key in shown if key.startswith("data/")]
    with ViewServer(View(shown), kept, Permissions(), redirect=False) as server:
        for key in packs:
            assert get(server, key, {"Range": asked} if asked else {}) == repository.get(key)[slice(*span)]
    sizes = [shown[key].size for key in packs]
    assert counted.parts == sum((size if span[1] is None else span[1]) - span[0] for size in sizes)
    assert not counted.reads
    assert not [one for one in kept._scratch.path.iterdir() if one.is_file() and one.stat().st_size]


def test_small_files_are_fetched_once_for_all_commands_and_views_of_a_run(repository: Repository) -> None:
    counted = Counted(store(repository.sandbox, repository.prefix))
    kept = KeptFiles(counted)
    for _ in range(2):
        with ViewServer(View(current(repository)), kept, Permissions(), redirect=True) as server:
            restic.find().demand(server.address, repository.password, restic.check_argv(read_data=True))
    assert counted.reads == Counter(key for key in current(repository) if not key.startswith(("data/", "locks/")))


def test_no_more_is_kept_than_a_run_may_have(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    config = current(repository)["config"]
    for most, reads in ((config.size, 1), (config.size - 1, 2)):
        monkeypatch.setattr(keptfiles, "MOST_KEPT", most)
        counted = Counted(store(repository.sandbox, repository.prefix))
        kept = KeptFiles(counted)
        assert kept.read(config, config.size) == kept.read(config, config.size)
        assert counted.reads == Counter({"config": reads})


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_large_file_is_opened_from_the_disk_and_served_piece_by_piece(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(keptfiles, "IN_MEMORY", 0)
    monkeypatch.setattr(keptfiles, "MOST_KEPT", room)
    monkeypatch.setattr(viewserver, "RELAYED", 0)
    kept = KeptFiles(store(repository.sandbox, repository.prefix))
    shown = current(repository)
    name = next(key for key in shown if key.startswith("index/"))
    for _ in range(2):
        with kept.open(shown[name], 1 << 20) as file:
            assert file.read() == repository.get(name)
    with pytest.raises(ValueError, match="more than"), kept.open(replace(shown[name], version_id="other"), 10):
        pass
    assert not [one for one in kept._scratch.path.iterdir() if one.suffix]
    with ViewServer(View(shown), kept, Permissions(), redirect=False) as server:
        restic.find().demand(server.address, repository.password, restic.check_argv(read_data=True))


def test_a_disk_that_takes_no_small_file_costs_round_trips_alone(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(store(repository.sandbox, repository.prefix))
    kept = KeptFiles(counted)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    config = current(repository)["config"]
    assert kept.read(config, config.size) == kept.read(config, config.size)
    assert counted.reads == Counter({"config": 2})
    with pytest.raises(ValueError, match="more than 1"):
        kept.read(config, 1)
