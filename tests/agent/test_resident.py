"""A machine that stays: each run begins once, is read whole, ends by its own limit, and is gone when it is ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from maintainer import __version__
from maintainer.agent import resident
from maintainer.core.events import decode
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.patience import PATIENCE_S, until
from tests.support.processes import stop
from tests.support.repositories import RESTIC, Repository

RUN = "web.20260101T000000Z-1"


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    repository = Repository(timed_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init(fast=False)
    repository.write("file", 10_000, 1)
    repository.backup()
    return Maintained(repository)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder / "maintainer/runs"
    for place in (folder / "maintainer/runs").glob("*"):
        assert resident.end(place, io.BytesIO()) == 0


def call(here: Path, command: str, given: bytes = b"") -> tuple[int, str]:
    """Call it as sshd does."""
    environment = {**os.environ, "XDG_STATE_HOME": str(here.parents[1]), "SSH_ORIGINAL_COMMAND": command}
    argv = [sys.executable, "-m", "maintainer.agent.command", "resident"]
    done = subprocess.run(argv, env=environment, input=given, capture_output=True, timeout=PATIENCE_S, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


def beginning(maintained: Maintained, limit_s: int = 3600, **changed: object) -> bytes:
    said = {"maintainer": __version__, "limit_s": limit_s, "marks": {"group": "web"}, "job": json.loads(maintained.job().encode())}
    return json.dumps(said | changed).encode()


def names(text: str) -> list[str]:
    return [decode(line).event for line in text.splitlines()]


def test_a_run_begins_once_is_read_from_any_line_and_is_gone_when_it_is_ended(maintained: Maintained, here: Path) -> None:
    said = beginning(maintained)
    answers: list[tuple[int, str]] = []
    both = [threading.Thread(target=lambda: answers.append(call(here, f"begin {RUN}", said))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert answers == [(0, ""), (0, "")]
    assert call(here, f"begin {RUN}", said) == (0, "")
    (here / f".{RUN}.1").mkdir()  # of one that was killed before its run had a name
    (here / f".{RUN}.1" / resident.BEGINNING).write_text("{}")
    assert json.loads(call(here, "list")[1]) == {"run": RUN, "marks": {"group": "web"}, "runs": True}
    status, text = call(here, f"follow {RUN} 0")
    assert status == decode(text.splitlines()[-1]).fields["exit_code"]
    assert names(text)[0] == "run.started"
    assert names(text).count("run.started") == names(text).count("run.closed") == 1
    assert call(here, f"follow {RUN} 2") == (status, "".join(text.splitlines(keepends=True)[2:]))
    assert call(here, f"collected {RUN}") == (0, "")
    until(lambda: not list(resident.processes_of(here / RUN)))
    assert json.loads(call(here, "list")[1])["runs"] is False
    assert call(here, f"begin {RUN}", said) == (0, "")  # it was
    assert call(here, f"follow {RUN} 0") == (status, text)
    assert call(here, f"end {RUN}") == call(here, f"end {RUN}") == (0, "")
    assert [path.name for path in here.iterdir()] == [f".{RUN}.1"]
    assert call(here, f"follow {RUN} 0") == (2, f"no run {RUN} is here")


def test_a_request_to_stop_ends_it_in_order(maintained: Maintained, here: Path) -> None:
    assert call(here, f"begin {RUN}", beginning(maintained)) == (0, "")
    assert call(here, f"stop {RUN}") == (0, "")
    status, text = call(here, f"follow {RUN} 0")
    assert status == 143
    assert names(text)[-2:] == ["run.signalled", "run.closed"]


def test_its_limit_ends_it_in_order_though_its_keeper_is_dead(maintained: Maintained, here: Path) -> None:
    assert call(here, f"begin {RUN}", beginning(maintained, limit_s=2)) == (0, "")
    until(lambda: (here / RUN / "events.jsonl").exists() and (here / RUN / "events.jsonl").stat().st_size > 0)
    until(lambda: len(keepers(here / RUN)) == 1)  # a child that it has just forked is called so too, until it is another program
    os.kill(keepers(here / RUN)[0], signal.SIGKILL)
    status, _ = call(here, f"follow {RUN} 0")
    assert status == 255
    until(lambda: not list(resident.processes_of(here / RUN)))
    assert names((here / RUN / "events.jsonl").read_text())[-1] == "run.closed"


def keepers(place: Path) -> list[int]:
    """Return the processes of a run that keep it."""
    found: list[int] = []
    for pid in resident.processes_of(place):
        with suppress(OSError):  # it has ended meanwhile
            if b"keep" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def test_what_does_not_answer_is_ended_too_and_no_other_run_with_it(maintained: Maintained, here: Path) -> None:
    assert call(here, f"begin {RUN}", beginning(maintained)) == (0, "")
    assert call(here, f"begin {RUN}-2", beginning(maintained)) == (0, "")
    for pid in list(resident.processes_of(here / RUN)):
        stop(pid)
    started = time.monotonic()
    assert call(here, f"end {RUN}") == (0, "")
    assert time.monotonic() - started < 10
    assert not list(resident.processes_of(here / RUN))
    assert list(resident.processes_of(here / f"{RUN}-2"))
    assert call(here, f"end {RUN}-2") == (0, "")


def test_it_says_which_versions_it_has_and_runs_nothing_that_is_no_path(here: Path) -> None:
    status, text = call(here, f"about {RESTIC}")
    assert status == 0
    assert json.loads(text)["maintainer"] == __version__
    assert json.loads(text)["restic"].startswith("restic 0.")
    assert json.loads(call(here, "about /nowhere/restic")[1])["restic"] == ""
    assert call(here, "about restic; id")[0] == 2


@pytest.mark.parametrize(
    ("command", "given", "said"),
    [
        (f"begin {RUN}", b"", "was cut, or is of another version"),
        (f"begin {RUN}", b'{"maintainer": "0.0.1", "limit_s": 1, "job": {}}', f"has maintainer {__version__}, and the controller 0.0.1"),
        ("begin ../x", b"", "expected `begin RUN`"),
        (f"follow {RUN}", b"", "expected `begin RUN`"),
        ("sh", b"", "expected `begin RUN`"),
        (f"stop {RUN}", b"", f"no run {RUN} is here"),
    ],
)
def test_anything_else_is_refused_and_begins_nothing(here: Path, command: str, given: bytes, said: str) -> None:
    status, text = call(here, command, given)
    assert status == 2
    assert said in text
    assert not here.exists()


def test_another_job_of_the_same_name_is_refused(maintained: Maintained, here: Path) -> None:
    assert call(here, f"begin {RUN}", beginning(maintained)) == (0, "")
    status, text = call(here, f"begin {RUN}", beginning(maintained, limit_s=1))
    assert (status, text) == (2, f"another run of the name {RUN} was begun here")
