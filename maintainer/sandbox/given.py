"""Answers that an endpoint has given, for an SDK that has lost one and asks the same call again.

AWS's SDKs send the same `amz-sdk-invocation-id` with every try of a call. The emulators would do it twice, and refuse the second time:
what was made is there already.
"""

from __future__ import annotations

import sys
from typing import Any

KEPT = 512
"""So many calls, the latest."""


class Given:
    """The latest answers, by the call's id; what an answer is, is the endpoint's own affair."""

    def __init__(self) -> None:
        self._answers: dict[str, Any] = {}

    def again(self, call: str) -> Any | None:
        """Return what the call was answered already, and say so in the log; None for a new one, and for one without an id."""
        found = self._answers.get(call) if call else None
        if found is not None:
            sys.stderr.write(f"call {call} came again: its answer was lost\n")
        return found

    def keep(self, call: str, answer: Any) -> None:
        """Remember an answer."""
        if call:
            self._answers[call] = answer
            if len(self._answers) > KEPT:
                del self._answers[next(iter(self._answers))]
