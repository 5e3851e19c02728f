"""The sandbox starts in the background, tells how to use it, moves in time, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import SystemClock
from maintainer.sandbox import daemon
from maintainer.settings.load import load
from tests.support.buckets import client
from tests.support.patience import PATIENCE_S

COMMAND = Path(sys.executable).with_name("maintainer")


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, "sandbox", *words], capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def test_start_prints_one_object_and_stop_leaves_nothing(tmp_path: Path) -> None:
    place = tmp_path / "sb"
    started = json.loads(command("start", "--json", "--directory", str(place)).stdout)
    try:
        assert {"endpoint", "region", "bucket", "state_bucket", "credentials", "config"} <= set(started)
        assert set(started["credentials"]) == {"admin", "host", "maintenance", "controller"}
        assert set(started["credentials"]["host"]) == {"access_key_id", "secret_access_key"}
        assert stat.S_IMODE((place / "credentials").stat().st_mode) == 0o600
        again = json.loads(command("start", "--json", "--directory", str(place)).stdout)
        assert again == started
        assert json.loads(command("status", "--json", "--directory", str(place)).stdout)["running"] is True
    finally:
        assert command("stop", "--directory", str(place)).returncode == 0
    assert not place.exists()
    assert command("status", "--directory", str(place)).returncode == 1


def test_a_store_at_a_distance_answers_late(tmp_path: Path) -> None:
    clock = SystemClock()
    sandbox = daemon.start(tmp_path / "sb", clock, daemon.Wanted(machines=False, latency_ms=300))
    try:
        asked = clock.monotonic()
        client(sandbox, "host").list_objects_v2(Bucket=sandbox.bucket)
        assert clock.monotonic() - asked > 0.3
    finally:
        daemon.stop(tmp_path / "sb", clock)
    refused = command("start", "--latency", "far", "--directory", str(tmp_path / "sb"))
    assert (refused.returncode, "'far' is no number of milliseconds from 0 to 9999" in refused.stderr) == (2, True)


def test_a_dead_sandbox_is_cleaned_by_the_next_start(tmp_path: Path) -> None:
    place, clock = tmp_path / "sb", SystemClock()
    first = daemon.start(place, clock, daemon.Wanted(machines=False))
    os.kill(first.pid, signal.SIGKILL)
    os.waitpid(first.pid, 0)
    assert daemon.running(place) is None
    second = daemon.start(place, clock, daemon.Wanted(machines=False))
    try:
        assert second.pid != first.pid
        assert "Contents" not in client(second, "host").list_objects_v2(Bucket=second.bucket)
    finally:
        daemon.stop(place, clock)


def test_a_directory_that_no_sandbox_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(SandboxError, match="no sandbox's"):
        daemon.start(tmp_path, SystemClock(), daemon.Wanted(machines=False))
    assert (tmp_path / "precious").exists()


def test_the_clock_moves_the_endpoint_and_ours_together_and_never_back(own_sandbox: daemon.Sandbox) -> None:
    place = Path(own_sandbox.directory)
    assert command("clock", "+20d", "--directory", str(place)).returncode == 0
    s3 = client(own_sandbox, "host")
    s3.put_object(Bucket=own_sandbox.bucket, Key="x", Body=b"x")
    seen = s3.head_object(Bucket=own_sandbox.bucket, Key="x")["LastModified"]
    ours = SystemClock(place / "clock").now()
    assert abs(seen - ours) < timedelta(minutes=1)
    assert ours - datetime.now(UTC) > timedelta(days=19)
    back = command("clock", "+1d", "--directory", str(place))
    assert back.returncode == 2
    assert "does not run backwards" in back.stderr


def test_nothing_listens_beyond_loopback(sandbox: daemon.Sandbox) -> None:
    sockets = {link.readlink().name for link in Path(f"/proc/{sandbox.pid}/fd").iterdir() if link.readlink().name.startswith("socket:")}
    listening = "0A"
    addresses = {
        fields[1].partition(":")[0]
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/{sandbox.pid}/net/{table}").read_text().splitlines()[1:])
        if fields[3] == listening and f"socket:[{fields[9]}]" in sockets
    }
    assert addresses == {"0100007F"}  # 127.0.0.1, as the kernel writes it


def test_the_template_works_once_it_is_uncommented_and_an_edited_configuration_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "sb"
    told = command("start", "--no-machines", "--directory", str(place)).stdout
    try:
        told_host = next(line for line in told.splitlines() if "restic init" in line).partition("back up with")[2]
        environment = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
        script = told_host.replace("backup /etc", f"backup {tmp_path}/source")
        (tmp_path / "source").write_text("what is kept")
        subprocess.run(["sh", "-ec", script], env=environment, capture_output=True, check=True)
        config = place / "maintainer.toml"
        config.write_text(uncommented(config.read_text()))
        ran = subprocess.run([COMMAND, "run", "--once", "--config", config], capture_output=True, text=True, check=False)
        assert ran.returncode == 3, ran.stdout + ran.stderr
        assert "maintainer accept web" in ran.stdout
        assert daemon.keep_edited(place, SystemClock()) is None  # the template without its # is nothing that a person wrote
        assert "ran already" in command("start", "--no-machines", "--directory", str(place)).stdout
        edited = config.read_text().replace('name = "web"', 'name = "mine"')
        config.write_text(edited)
    finally:
        stopped = command("stop", "--directory", str(place)).stdout
    (kept,) = tmp_path.glob("sb-*.toml")
    assert f"kept as {kept}" in stopped
    assert kept.read_text() == edited
    assert not place.exists()


def uncommented(text: str) -> str:
    """Take the # from the template of a repository, and from nothing else."""
    before, template = text.split("# [[repository]]\n")
    return before + "".join(line.removeprefix("# ") for line in ("# [[repository]]\n" + template).splitlines(keepends=True))


def test_the_template_is_one_that_a_group_of_instances_takes(tmp_path: Path) -> None:
    place = tmp_path / "sb"
    command("start", "--directory", str(place))
    try:
        config = place / "maintainer.toml"
        config.write_text(uncommented(config.read_text()))
        assert load(config).repositories[0].password == "ssm:/maintainer/web"
    finally:
        command("stop", "--directory", str(place))
