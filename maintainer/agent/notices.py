"""EC2's notices to the instance that the agent runs on: told as events, and heeded while there is time."""

from __future__ import annotations

import os
import signal
from contextlib import AbstractContextManager

from maintainer.agent.beside import again
from maintainer.core.errors import ConnectionLostError
from maintainer.edges.log import Recorder, diagnostics
from maintainer.edges.metadata import MetadataService

EVERY_S = 5.0
"""How often EC2 wants to be asked (user guide, "Spot Instance interruption notices")."""
TAKEN_BACK = signal.SIGUSR1
"""What this process is sent when EC2 takes the instance back."""


def heeded(service: MetadataService, recorder: Recorder) -> AbstractContextManager[None]:
    """Look for notices beside a block of code: one of an interruption is told, and TAKEN_BACK sent to this process, once."""
    return again(_Watch(service, recorder).look, EVERY_S, "notices")


class _Watch:
    def __init__(self, service: MetadataService, recorder: Recorder) -> None:
        self._service = service
        self._recorder = recorder
        self._was_recommended = self._was_silent = False

    def look(self) -> bool:
        """Look once; return whether to look again."""
        try:
            if not self._was_recommended and (since := self._service.rebalance()) is not None:
                self._was_recommended = True
                self._recorder.record("rebalance.recommended", since=since)
            notice = self._service.interruption()
        except ConnectionLostError as error:
            if not self._was_silent:
                diagnostics().warning("notices of an interruption can not be read", reason=error.message)
            self._was_silent = True
            return True
        self._was_silent = False
        if notice is None:
            return True
        self._recorder.record("interruption.noticed", action=notice.action, at=notice.at)
        os.kill(os.getpid(), TAKEN_BACK)
        return False
