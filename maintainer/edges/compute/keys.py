"""The store's keys for a machine that has no role: read where the controller is, given over SSH, and given anew before they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta

from maintainer.core.errors import MaintainerError, SecretError
from maintainer.core.moments import from_text, to_text
from maintainer.edges.clock import Clock
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Session, lost

ANEW_BEFORE = timedelta(minutes=20)
"""Before their end: botocore asks for new ones in the last 15 minutes (`botocore.credentials`, RefreshableCredentials)."""
AGAIN_AFTER = timedelta(minutes=1)
"""Between two tries, where no longer-lived ones are to be had."""
EXPECTED = "JSON as an AWS credential_process prints it: AccessKeyId, SecretAccessKey, and SessionToken and Expiration where they end"


class Keys:
    """Keys from a source, `read` anew each time. Nothing of what it gives is shown in an error."""

    def __init__(self, read: Callable[[], str], clock: Clock, recorder: Recorder) -> None:
        self._read = read
        self._clock = clock
        self._recorder = recorder
        self._next: bytes | None = None
        self._ends: datetime | None = None
        self._due: datetime | None = None

    def fetch(self) -> None:
        """Read them, to be given next. SecretError: no machine need be launched then."""
        self._next, self._ends = parse(self._read(), self._clock.now())

    def give(self, session: Session, machine: str) -> None:
        """Give the machine what it has not yet, and new ones when the last will end soon. ConnectionLostError."""
        now = self._clock.now()
        if self._next is None and (self._due is None or now < self._due):
            return
        try:
            if self._next is None:
                self.fetch()
        except MaintainerError as error:
            self._due = now + AGAIN_AFTER
            self._recorder.record("keys.failed", instance=machine, reason=error.message)
            return
        status, said = session.ask("keys", self._next or b"")
        if status:
            raise lost(f"the keys were not taken (status {status}) {said}".rstrip())
        self._next = None
        self._due = max(self._ends - ANEW_BEFORE, now + AGAIN_AFTER) if self._ends else None
        self._recorder.record("keys.given", instance=machine, until=to_text(self._ends) if self._ends else "")


def parse(text: str, now: datetime) -> tuple[bytes, datetime | None]:
    """Return keys as the machine's `credential_process` will print them, and when they end. SecretError; its text quotes nothing."""
    try:
        raw = json.loads(text)
        raw = raw.get("Credentials", raw)  # as `aws sts assume-role` prints them
        found = {"Version": 1, "AccessKeyId": raw["AccessKeyId"], "SecretAccessKey": raw["SecretAccessKey"]}
        found |= {name: raw[name] for name in ("SessionToken", "Expiration") if raw.get(name)}
        ends = from_text(found["Expiration"]) if "Expiration" in found else None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SecretError("the keys of the store are not what was expected", guidance=f"print {EXPECTED}") from None
    if ends is not None and ends <= now:
        raise SecretError(f"the keys of the store ended at {to_text(ends)}", guidance="let its source make new ones each time")
    return json.dumps(found).encode(), ends
