"""The forced command of the run's SSH key: hands the event stream out, and takes a request to stop.

Starts for every connection, so it imports the standard library alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PLACE = Path("/run/maintainer")
"""Where `instance` keeps events.jsonl, errors.log and exit, and looks for stop and collected."""

WISHES = ("stop", "collected")
"""End in order; all has been read, the machine may go."""

ALIVE = "alive"
"""The file that the keeper holds locked while it lives."""
KEEPER_DIED = 255
"""The status of an agent whose keeper was killed: nobody knows how it ends."""
KEYS = "keys.json"
"""The store's keys, as an AWS `credential_process` prints them: given to a machine that has no role of its own, by whoever follows it."""
ERRORS = "errors.log"
"""What the agent, and its keeper, wrote beside the events."""

POLL_MS = 50
KEPT = 4_000
WRONG_USE = 2
MOST = 64 << 10
"""Bytes of keys: far beyond any."""


def main() -> int:
    """Answer what the SSH client asked for; return the exit status."""
    return answer(os.environ.get("SSH_ORIGINAL_COMMAND", ""), PLACE, sys.stdout.buffer, sys.stdin.buffer)


def answer(command: str, place: Path, out: BinaryIO, given: BinaryIO | None = None) -> int:
    """Do `follow N`, `keys`, or leave one of the wishes, and answer with what the agent wrote beside its events; anything else is status 2.

    `keys` takes what is `given`, in place of what was given before.
    """
    if command in WISHES:
        out.write(last_words(place))
        out.flush()
        (place / command).touch()
        return 0
    if command == "keys" and given is not None:
        take_keys(place, given.read(MOST))
        return 0
    if found := re.fullmatch(r"follow ([0-9]{1,9})", command):
        return follow(place, int(found[1]), out, reader_waits(out))
    sys.stderr.write("maintainer-agent remote: expected `follow N`, `keys`, `stop` or `collected`\n")
    return WRONG_USE


def take_keys(place: Path, given: bytes) -> None:
    """Keep the store's keys where the agent looks for them, readable for their owner alone; it finds the old ones or the new, whole."""
    new = place / f"{KEYS}.{os.getpid()}"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123 - its mode from the first moment
        file.write(given)
    new.replace(place / KEYS)


def follow(place: Path, seen: int, out: BinaryIO, reader_waits: Callable[[], bool]) -> int:
    """Write the event lines after the first `seen`, as they appear; return the agent's exit status once it has closed.

    Only whole lines are written. `reader_waits` takes POLL_MS, and says whether anybody still reads; if not, 0 is returned to nobody.
    """
    path = place / "events.jsonl"
    offset = 0
    while reader_waits():
        died = is_dead(place / ALIVE)
        # Both are looked at before the events: what the agent wrote before its exit is then sure to be read below.
        status = _exit_status(place / "exit")
        lines, offset = _whole_lines(path, offset)
        skipped = min(seen, len(lines))
        seen -= skipped
        out.writelines(lines[skipped:])
        out.flush()
        if status is not None:
            return status
        if died:
            return KEEPER_DIED
    return 0


def reader_waits(out: BinaryIO) -> Callable[[], bool]:
    """Return a question that waits POLL_MS and tells whether the other end of `out` is still open (a closed one wakes it at once)."""
    poll = select.poll()
    poll.register(out.fileno(), 0)
    return lambda: not poll.poll(POLL_MS)


def is_dead(alive: Path) -> bool:
    """Tell whether the keeper has lived, and lives no more."""
    try:
        with alive.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError):
        return False
    return True


def _whole_lines(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Return the lines from byte `offset` on that are complete, and where the next begins."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            text = stream.read()
    except FileNotFoundError:
        return [], offset
    end = text.rfind(b"\n") + 1
    return text[:end].splitlines(keepends=True), offset + end


def last_words(place: Path) -> bytes:
    """Return the end of what was written beside the events."""
    try:
        return (place / ERRORS).read_bytes()[-KEPT:]
    except FileNotFoundError:
        return b""


def _exit_status(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return None
    return int(text) if text.strip().isdigit() else None
