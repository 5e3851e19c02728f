"""Faults of the sandbox's EC2, as they are wished for: refused, failed, slow and lost answers.

The file refusals.json in a sandbox's directory names actions, or `*` for all, and what becomes of them: the code of a refusal, or an object
with `code`, `status` (403), `times` (for each action; for ever), `lose` (do it, and cut the connection instead of an answer) and `wait_s`.
"""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from maintainer.edges.clock import SystemClock
from maintainer.sandbox.provision import ROOT

Application: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
FILE = "refusals.json"
_REASONS = {403: "Forbidden", 400: "Bad Request", 500: "Internal Server Error", 503: "Service Unavailable"}


class LostError(Exception):
    """The connection is cut: whatever was done, nobody is told."""


class Refusals:
    """A WSGI application before another."""

    def __init__(self, application: Application, directory: Path) -> None:
        self._application = application
        self._file = directory / FILE
        self._seen: Counter[tuple[int, str]] = Counter()
        self._turn = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, or let answer."""
        # Root is the hypervisor, which a fault must not reach: it is what EC2 itself is, there.
        if not self._file.exists() or f"Credential={ROOT}/" in environ.get("HTTP_AUTHORIZATION", ""):
            return self._application(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]  # of the JSON protocol
        action = target or parse_qs(body.decode("utf-8", "replace")).get("Action", [""])[0]
        wish = self._wish(action)
        if wish is None:
            return self._application(environ, start_response)
        SystemClock().sleep(wish.get("wait_s", 0))
        if wish.get("lose"):
            b"".join(self._application(environ, lambda *_: None))
            raise LostError(action)
        if "code" not in wish:
            return self._application(environ, start_response)
        return _refused(wish, action, start_response, is_json=bool(target))

    def _wish(self, action: str) -> dict[str, Any] | None:
        try:
            wishes, made = json.loads(self._file.read_bytes()), self._file.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        if (wish := wishes.get(action, wishes.get("*"))) is None:
            return None
        found: dict[str, Any] = {"code": wish} if isinstance(wish, str) else wish
        with self._turn:
            self._seen[made, action] += 1
            return found if self._seen[made, action] <= found.get("times", self._seen[made, action]) else None


def _refused(wish: dict[str, Any], action: str, start_response: Any, *, is_json: bool) -> list[bytes]:
    code, status = wish["code"], wish.get("status", 403)
    start_response(
        f"{status} {_REASONS.get(status, 'Refused')}", [("Content-Type", "application/x-amz-json-1.1" if is_json else "text/xml")]
    )
    message = f"You are not authorized to perform this operation: {action}. Encoded authorization failure message: ENCODED"
    if code != "UnauthorizedOperation":
        message = f"{action} is refused on purpose"
    if is_json:
        return [json.dumps({"__type": code, "message": message}).encode()]
    return [f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors></Response>".encode()]
