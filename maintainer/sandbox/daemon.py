"""The sandbox's life: start in the background, status, clock, stop. A directory holds all of it, and ends with it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import Clock, read_offset, write_offset
from maintainer.sandbox.provision import BUCKET, REGION, STATE_BUCKET, Credentials, provision, write_files

START_LIMIT_S = 60
STOP_LIMIT_S = 10
_TAKE_S = 0.05


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox, as `sandbox start --json` prints it; `pid` is the endpoint's."""

    endpoint: str
    region: str
    bucket: str
    state_bucket: str
    credentials: dict[str, Credentials]
    config: str
    directory: str
    pid: int

    def encode(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self), indent=2)


def default_directory() -> Path:
    """Return where a sandbox lives unless told otherwise (XDG base directories)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "maintainer" / "sandbox"


def running(directory: Path) -> Sandbox | None:
    """Return the sandbox in the directory if it lives: its lock is held for as long as its endpoint runs."""
    if not _is_locked(directory):
        return None
    try:
        raw = json.loads((directory / "sandbox.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Sandbox(**{**raw, "credentials": {name: Credentials(**key) for name, key in raw["credentials"].items()}})


def start(directory: Path, clock: Clock) -> Sandbox:
    """Start an endpoint and fill it; one that runs already is returned as it is, one that died is cleaned away first."""
    if (alive := running(directory)) is not None:
        return alive
    _clean(directory)
    directory.mkdir(parents=True, mode=0o700, exist_ok=True)
    directory.chmod(0o700)
    (directory / "owner").write_text("maintainer sandbox\n", encoding="utf-8")
    write_offset(directory / "clock", 0)
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}"
    pid = _spawn(directory, port)
    try:
        _wait_until_healthy(port, pid, clock, directory / "endpoint.log")
        credentials = provision(endpoint)
        config = write_files(directory, endpoint, credentials)
        made = Sandbox(endpoint, REGION, BUCKET, STATE_BUCKET, credentials, str(config), str(directory), pid)
        state = directory / "sandbox.json"
        state.touch(mode=0o600)
        state.write_text(made.encode(), encoding="utf-8")
    except BaseException:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    return made


def stop(directory: Path, clock: Clock) -> bool:
    """End the endpoint and remove the directory; return whether one was running."""
    alive = running(directory)
    if alive is not None:
        os.kill(alive.pid, signal.SIGTERM)
        deadline = clock.monotonic() + STOP_LIMIT_S
        while _is_locked(directory):
            if clock.monotonic() > deadline:
                os.kill(alive.pid, signal.SIGKILL)
                deadline += STOP_LIMIT_S
            clock.sleep(_TAKE_S)
    _clean(directory)
    return alive is not None


def move_clock(directory: Path, seconds: float) -> None:
    """Set how far the sandbox's time is ahead of the real one, for the endpoint and for every command that uses its configuration."""
    if running(directory) is None:
        raise SandboxError("no sandbox is running", guidance="start one: maintainer sandbox start")
    if _faketime() is None:
        raise SandboxError("libfaketime is not installed", guidance="apt-get install libfaketime, then stop and start the sandbox")
    before = read_offset(directory / "clock")
    if seconds < before:
        raise SandboxError(
            f"the sandbox's time is {before:.0f} s ahead of the real one already, and time does not run backwards",
            guidance="give an offset from the real time that is larger, or stop and start the sandbox",
        )
    write_offset(directory / "clock", seconds)


def _spawn(directory: Path, port: int) -> int:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AUTH": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "SERVICES": "s3,iam,sts",
        "LOG_LEVEL": "WARNING",
        "S3_DATA_DIR": str(directory / "objects"),
        "TMPDIR": str(directory),
        "PYTHONUNBUFFERED": "1",
    }
    if (faketime := _faketime()) is not None:
        environment |= {
            "LD_PRELOAD": str(faketime),
            "FAKETIME_TIMESTAMP_FILE": str(directory / "clock"),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
    log = os.open(directory / "endpoint.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        # subprocess.Popen warns when a child outlives it; this child is meant to.
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "maintainer.sandbox.endpoint", str(directory)],
            environment,
            setsid=True,
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)],
        )
    finally:
        os.close(log)
        os.close(null)


def _faketime() -> Path | None:
    places = [Path(sys.prefix) / "lib", *Path("/usr/lib").glob("*-linux-gnu*")]
    return next((found for place in places if (found := place / "faketime" / "libfaketime.so.1").exists()), None)


def _wait_until_healthy(port: int, pid: int, clock: Clock, log: Path) -> None:
    deadline = clock.monotonic() + START_LIMIT_S
    while clock.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == 200:  # noqa: PLR2004 - HTTP's own
                return
        except OSError:
            clock.sleep(_TAKE_S)
        finally:
            connection.close()
    raise SandboxError(
        "the sandbox's endpoint did not start",
        guidance=f"pip install 'maintainer[sandbox]' brings what it needs; its last words: {log.read_text(encoding='utf-8')[-400:]}",
    )


def _is_locked(directory: Path) -> bool:
    try:
        with (directory / "lock").open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _clean(directory: Path) -> None:
    """Remove what an ended sandbox left; never a directory that no sandbox made."""
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not (directory / "owner").exists():
        raise SandboxError(f"{directory} is not empty, and no sandbox's", guidance="give an empty directory: --directory")
    grave = directory.with_name(f"{directory.name}.{secrets.token_hex(4)}")
    directory.rename(grave)
    shutil.rmtree(grave)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
