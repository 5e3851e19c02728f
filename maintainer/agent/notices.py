"""EC2's notices to the instance that the agent runs on: told as events, and heeded while there is time."""

from __future__ import annotations

import os
import signal
import threading
from types import TracebackType
from typing import Self

from maintainer.core.errors import ConnectionLostError
from maintainer.edges.log import Recorder, diagnostics
from maintainer.edges.metadata import MetadataService

EVERY_S = 5.0
"""How often EC2 wants to be asked (user guide, "Spot Instance interruption notices")."""
TAKEN_BACK = signal.SIGUSR1
"""What this process is sent when EC2 takes the instance back."""


class Watch:
    """Asks the metadata service from a thread of its own; on a notice it sends TAKEN_BACK to this process, once."""

    def __init__(self, service: MetadataService, recorder: Recorder) -> None:
        self._service = service
        self._recorder = recorder
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="notices", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End: from now on nothing is told and nothing is sent."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        recommended = silent = False
        while True:
            try:
                if not recommended and (since := self._service.rebalance()) is not None:
                    recommended = True
                    self._recorder.record("rebalance.recommended", since=since)
                if (notice := self._service.interruption()) is not None:
                    self._recorder.record("interruption.noticed", action=notice.action, at=notice.at)
                    os.kill(os.getpid(), TAKEN_BACK)
                    return
                silent = False
            except ConnectionLostError as error:
                if not silent:
                    diagnostics().warning("notices of an interruption can not be read", reason=error.message)
                silent = True
            if self._ended.wait(EVERY_S):
                return
