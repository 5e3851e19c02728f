"""An agent that is killed right before its nth write, or right after it: forked from a process that has imported it already."""

from __future__ import annotations

import os
import signal
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal

from maintainer.agent.main import attend
from maintainer.core.job import decode
from maintainer.edges.s3 import S3
from tests.support.patience import PATIENCE_S

When = Literal["before", "after"]
WRITES = ("put_object", "copy_object", "delete_object", "put_object_tagging")
"""Every call by which an agent changes anything, in the bucket or in the state store."""

Write = tuple[str, str]
"""A call, and the folder of what it writes: of a repository, or of its state."""

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def run_and_kill(job: str, number: int, when: When) -> int | None:
    """Run a job, and kill its agent at its write of this number, from 0; return the exit status of one that did not write so often."""
    process = _FORKS.Process(target=_run, args=(job, number, when))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode is not None, "the agent did not end"
    return None if process.exitcode == -signal.SIGKILL else process.exitcode


def writes_of(job: str) -> tuple[int, list[Write]]:
    """Run a job undisturbed; return its exit status, and each of its writes in order."""
    reader, writer = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_record, args=(job, writer))
    process.start()
    writer.close()
    status, writes = reader.recv()  # EOFError where it was killed
    process.join()
    return status, writes


def _record(job: str, answer: Connection) -> None:
    writes: list[Write] = []
    call = S3.call_raw

    def recorded(self: S3, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        if operation in WRITES:
            writes.append((operation, _folder(parameters["Key"])))
        return call(self, operation, parameters)

    S3.call_raw = recorded  # type: ignore[method-assign]  # of this process alone
    answer.send((attend(decode(job), lambda _: None), writes))


def _folder(key: str) -> str:
    """Return where a key lies, without what differs from run to run: a repository's prefix, ids and numbers."""
    return "/".join(word for word in key.split("/")[1:-1] if word.isalpha())


def _run(job: str, number: int, when: When) -> None:
    numbers, call = count(), S3.call_raw

    def counted(self: S3, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        is_last = operation in WRITES and next(numbers) == number
        if is_last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(self, operation, parameters)
        finally:  # a store that refuses has answered too
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)

    S3.call_raw = counted  # type: ignore[method-assign]  # of this process alone, which ends with it
    os._exit(attend(decode(job), lambda _: None))
