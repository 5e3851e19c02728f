"""An agent that is killed right before its nth write, or right after it: forked from a process that has imported it already."""

from __future__ import annotations

import os
import signal
from itertools import count
from multiprocessing import get_context
from typing import Any, Literal

from maintainer.agent.main import attend
from maintainer.core.job import decode
from maintainer.edges.s3 import S3

When = Literal["before", "after"]
WRITES = ("put_object", "copy_object", "delete_object", "put_object_tagging")
"""Every call by which an agent changes anything, in the bucket or in the state store."""

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def run_and_kill(job: str, number: int, when: When) -> int | None:
    """Run a job, and kill its agent at its write of this number, from 0; return the exit status of one that did not write so often."""
    process = _FORKS.Process(target=_run, args=(job, number, when))
    process.start()
    process.join(180)
    assert process.exitcode is not None, "the agent did not end"
    return None if process.exitcode == -signal.SIGKILL else process.exitcode


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
