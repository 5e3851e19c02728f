"""The agent's keeper on an instance, and what it tells whoever logs in."""

from __future__ import annotations

import fcntl
import io
import json
import os
import stat
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from maintainer.agent import instance, remote
from maintainer.agent.instance import Keeper
from maintainer.core.job import GIVEN_CREDENTIALS
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


def patience() -> bool:
    time.sleep(0.02)
    return True


def answer(place: Path, command: str) -> tuple[int, list[str]]:
    out = io.BytesIO()
    if command.startswith("follow"):
        status = remote.follow(place, int(command.split()[1]), out, patience)
    else:
        status = remote.answer(command, place, out)
    return status, out.getvalue().decode().splitlines()


def keep(tmp_path: Path, job: str, digest: str = "d1") -> tuple[Path, threading.Thread]:
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "job.json").write_text(job + "\n")
    (tmp_path / "image.json").write_text(json.dumps({"digest": digest}))
    thread = threading.Thread(target=Keeper(tmp_path / "job.json", place, SystemClock(), image=tmp_path / "image.json").run)
    thread.start()
    return place, thread


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    repository = Repository(timed_sandbox, f"i-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    repository.write("file", 10_000, 1)
    repository.backup()
    return Maintained(repository)


def test_the_stream_is_read_whole_from_any_line_and_the_status_comes_last(maintained: Maintained, tmp_path: Path) -> None:
    place, thread = keep(tmp_path, maintained.job().encode())
    status, lines = answer(place, "follow 0")
    assert status == 3
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert json.loads(lines[-1])["event"] == "run.closed"
    assert answer(place, f"follow {len(lines) - 2}") == (3, lines[-2:])
    assert thread.is_alive()
    assert answer(place, "collected") == (0, [])
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_stop_ends_the_agent_in_order(maintained: Maintained, tmp_path: Path) -> None:
    place, thread = keep(tmp_path, maintained.job().encode())
    while not (place / "events.jsonl").exists() or not (place / "events.jsonl").stat().st_size:
        time.sleep(0.02)
    answer(place, "stop")
    status, lines = answer(place, "follow 0")
    assert status == 143
    assert [json.loads(line)["event"] for line in lines][-1] == "run.closed"
    answer(place, "collected")
    thread.join(PATIENCE_S)


def test_an_agent_that_does_not_end_is_killed_and_its_status_says_so(
    maintained: Maintained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instance, "PATIENCE_S", -1)
    place, thread = keep(tmp_path, maintained.job().encode())
    answer(place, "stop")
    status, lines = answer(place, "follow 0")
    assert status == 137
    assert "run.closed" not in "".join(lines)
    answer(place, "collected")
    thread.join(PATIENCE_S)


def test_the_death_of_the_keeper_is_told_to_whoever_follows(tmp_path: Path) -> None:
    with (tmp_path / remote.ALIVE).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        asked = 0

        def wait() -> bool:
            nonlocal asked
            asked += 1
            if asked == 3:
                held.close()
            return asked < 10

        (tmp_path / "events.jsonl").write_text("one\n")
        out = io.BytesIO()
        assert remote.follow(tmp_path, 0, out, wait) == remote.KEEPER_DIED
    assert (asked, out.getvalue()) == (3, b"one\n")


def test_an_agent_of_another_image_does_not_run(tmp_path: Path) -> None:
    place, thread = keep(tmp_path, json.dumps({"image_digest": "d2", "run_id": "r"}))
    status, (failed, closed) = answer(place, "follow 0")
    assert status == 2
    assert "another image than the one that was pinned: d1; expected d2" in json.loads(failed)["reason"]
    assert json.loads(closed)["event"] == "run.closed"
    answer(place, "collected")
    thread.join(PATIENCE_S)


@pytest.mark.matrix
@pytest.mark.parametrize("pinned", ["d1", "d2 d1"])
def test_an_agent_of_one_of_the_pinned_images_runs(tmp_path: Path, maintained: Maintained, pinned: str) -> None:
    place, thread = keep(tmp_path, replace(maintained.job(), image_digest=pinned).encode())
    answer(place, "stop")
    status, lines = answer(place, "follow 0")
    assert status in {137, 143}
    assert "another image" not in "".join(lines)
    answer(place, "collected")
    thread.join(PATIENCE_S)


KEYS = {"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "the secret"}


def test_an_agent_without_a_role_waits_for_its_keys(maintained: Maintained, tmp_path: Path) -> None:
    job = maintained.job()
    place, thread = keep(tmp_path, replace(job, access=replace(job.access, credentials_file=GIVEN_CREDENTIALS)).encode())
    time.sleep(0.3)
    assert not (place / "events.jsonl").exists()
    for given in ({**KEYS, "AccessKeyId": "old"}, KEYS):
        assert remote.answer("keys", place, io.BytesIO(), io.BytesIO(json.dumps(given).encode())) == 0
    assert json.loads((place / remote.KEYS).read_bytes()) == KEYS
    assert stat.S_IMODE((place / remote.KEYS).stat().st_mode) == 0o600
    status, lines = answer(place, "follow 0")
    assert status != 0  # here the file that leads to them is not
    assert json.loads(lines[0])["event"] == "run.started"
    assert "the secret" not in "".join(lines)
    answer(place, "collected")
    thread.join(PATIENCE_S)


@pytest.mark.parametrize(("wish", "status", "why"), [("", 5, "nobody gave this machine the keys"), ("stop", 143, "asked to end before")])
def test_nobody_who_brings_keys_is_told_and_a_wish_to_stop_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, status: int, why: str
) -> None:
    monkeypatch.setattr(instance, "GIVEN_WITHIN_S", 600 if wish else 0.1)
    place, thread = keep(tmp_path, json.dumps({"run_id": "r", "access": {"credentials_file": GIVEN_CREDENTIALS}}))
    if wish:
        answer(place, wish)
    ended, (failed, closed) = answer(place, "follow 0")
    assert ended == status
    assert why in json.loads(failed)["reason"]
    assert json.loads(closed)["event"] == "run.closed"
    answer(place, "collected")
    thread.join(PATIENCE_S)


def test_anything_else_is_refused(tmp_path: Path) -> None:
    for command in ("", "kill", "follow", "follow -1", "follow 1; id", "cat /etc/shadow", "collected "):
        assert answer(tmp_path, "x" + command if command.startswith("follow") else command)[0] == 2
    assert os.listdir(tmp_path) == []  # noqa: PTH208
