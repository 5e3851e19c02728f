"""`compute = "local"`: the agent as a process on this machine."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from tempfile import TemporaryFile

from maintainer.core.events import LONGEST_LINE
from maintainer.core.job import Job

KEPT = 4_000


class LocalAgent:
    """One agent process. In a session of its own, so that a terminal's Ctrl-C reaches it once, by way of the controller."""

    spent: float | None = 0.0
    has_died = False
    """Whatever ended a process on this machine is here still."""

    def __init__(self, job: Job) -> None:
        self._errors = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed in wait
        # A signal that comes before the agent heeds signals waits until it does: it inherits the mask, and lifts it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "maintainer.agent.main"],  # -P: nothing is imported from the current directory
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._words = ""
        if self._process.stdin is not None:
            with self._process.stdin as stdin:
                stdin.write(job.encode() + "\n")

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def lines(self) -> Iterator[str]:
        """Yield the lines that it writes, until it ends; one without an end comes in pieces, of which none is an event."""
        output = self._process.stdout
        while output is not None and (line := output.readline(LONGEST_LINE)):
            yield line

    def signal(self, number: int) -> None:
        """Ask it to end in order."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return its exit status once it has ended; negative for the signal that killed it."""
        status = self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if not self._errors.closed:
            self._errors.seek(0)
            self._words = self._errors.read()[-KEPT:]
            self._errors.close()
        return status

    def last_words(self) -> str:
        """Return the end of what it wrote on standard error."""
        return self._words


class LocalCompute:
    """This machine."""

    patience = timedelta(0)
    budget = 0.0
    is_paid = False

    def launch(self, job: Job, refused: int = 0) -> LocalAgent:  # noqa: ARG002 - no process was ever refused
        """Start an agent on a job."""
        return LocalAgent(job)

    def clear(self, run_id: str) -> None:
        """Do nothing: an agent here has ended when `wait` has returned."""
