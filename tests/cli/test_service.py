"""`maintainer run` as a service: at its moments, once for all that were missed, through what a run fails of, until it is asked to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from maintainer.core.moments import from_text
from maintainer.sandbox.daemon import Sandbox
from tests.cli.test_commands import User
from tests.support.instances import COMMAND
from tests.support.patience import PATIENCE_S


@pytest.fixture
def user(timed_sandbox: Sandbox, tmp_path: Path) -> User:
    return User(timed_sandbox, tmp_path)


@contextmanager
def service(user: User, folder: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "MAINTAINER_CONFIG": str(user.config), "STATE_DIRECTORY": str(folder)}
    process = subprocess.Popen([COMMAND, "run", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def next_run(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a run; return its exit code."""
    assert process.stdout is not None
    for line in process.stdout:
        if (read := json.loads(line))["event"] == "run.closed" and read["source"] == "controller":
            return int(read["exit_code"])
    raise AssertionError(process.communicate())


def test_missed_runs_are_one_and_the_next_comes_at_its_moment(user: User, tmp_path: Path) -> None:
    remembered = tmp_path / "last-run"
    remembered.write_text("2020-01-01T03:30:00Z")
    with service(user, tmp_path) as process:
        assert next_run(process) == 0
        first = from_text(remembered.read_text())
        user.clock("+1d")
        assert next_run(process) == 0
        assert 23 < (from_text(remembered.read_text()) - first).total_seconds() / 3600 < 49
        assert process.stderr is not None
        assert all("waiting for the next run" in process.stderr.readline() for _ in range(3))
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert errors == ""


def test_a_configuration_that_is_wrong_for_a_while_ends_no_service_and_one_that_is_wrong_at_first_begins_none(
    user: User, tmp_path: Path
) -> None:
    good = user.config.read_text()
    with service(user, tmp_path) as process:
        assert process.stderr is not None
        assert "waiting for the next run" in process.stderr.readline()
        user.config.write_text(good.replace("[state]", "[stat]"))
        user.clock("+1d")
        assert "maintainer: " in process.stderr.readline()
        user.config.write_text(good)
        user.clock("+2d")
        assert next_run(process) == 0
    user.config.write_text(good + '\n[run]\nat = "25:00"\n')
    with service(user, tmp_path) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert "run.at: '25:00'; expected a time of day such as `03:30`, in UTC" in errors


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = (Path(__file__).parents[2] / "systemd/maintainer.service").read_text()
    assert "ExecStart=/usr/local/bin/maintainer --config /etc/maintainer/maintainer.toml run\n" in unit
    checked = tmp_path / "maintainer.service"
    checked.write_text(unit.replace("/usr/local/bin/maintainer", str(COMMAND)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(checked)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
