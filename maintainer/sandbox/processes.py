"""The sandbox's processes: each holds a lock on a file that names it, so that whoever finds the file knows whether it lives."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from maintainer.core.errors import SandboxError
from maintainer.edges.clock import Clock, SystemClock

START_LIMIT_S = 60
PATIENCE = 25
_TAKE_S = 0.02


def hold(file: Path) -> None:
    """Take the lock until this process is gone. BlockingIOError where another holds it."""
    # A bare descriptor, which nothing closes before the kernel does.
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    for left in reversed(range(PATIENCE)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:  # perhaps somebody who only asks
            if not left:
                raise
            SystemClock().sleep(_TAKE_S)
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())


def is_held(file: Path) -> bool:
    """Tell whether the process that the file names lives."""
    try:
        with file.open("r+", encoding="ascii") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def signal_holder(file: Path, number: signal.Signals) -> None:
    """Send a signal to the process that holds the lock, if one does."""
    if is_held(file) and (text := file.read_text(encoding="ascii")):
        with suppress(ProcessLookupError):
            os.kill(int(text), number)


def end(file: Path, clock: Clock, gently_s: float) -> None:
    """End the process that holds the lock: by SIGTERM, and after so many seconds by SIGKILL."""
    signal_holder(file, signal.SIGTERM if gently_s else signal.SIGKILL)
    limit = clock.monotonic() + gently_s
    while is_held(file):
        if clock.monotonic() > limit:
            signal_holder(file, signal.SIGKILL)
        clock.sleep(_TAKE_S)


def start(module: str, arguments: list[str], log: Path, environment: Mapping[str, str] | None = None) -> int:
    """Start a module of ours as a process that outlives this one, and return its id. Its outputs go to the log."""
    to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        # subprocess.Popen warns when a child outlives it; this child is meant to.
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", module, *arguments],  # -P: nothing is imported from the current directory
            {**os.environ, "PYTHONUNBUFFERED": "1"} if environment is None else environment,
            setsid=True,
            setsigdef=[signal.SIGCHLD],
            file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, to, 1), (os.POSIX_SPAWN_DUP2, to, 2)],
        )
    finally:
        os.close(to)
        os.close(null)


def wait_until_healthy(url: str, pid: int, clock: Clock, log: Path) -> None:
    """Wait until a server of ours answers; SandboxError quotes its log when it ends, or takes too long."""
    there = urlsplit(url)
    deadline = clock.monotonic() + START_LIMIT_S
    while clock.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            break
        connection = HTTPConnection(there.hostname or "", there.port, timeout=5)
        try:
            connection.request("GET", there.path)
            if connection.getresponse().status == 200:  # noqa: PLR2004 - HTTP's own
                return
        except OSError:
            clock.sleep(_TAKE_S)
        finally:
            connection.close()
    last_words = log.read_text(encoding="utf-8")[-400:]
    do = f"install maintainer with its sandbox, as in pipx install --force '.[sandbox]'; its last words: {last_words}"
    raise SandboxError("the sandbox's endpoint did not start", guidance=do)


def free_port() -> int:
    """Return a port that nobody listens on at 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
