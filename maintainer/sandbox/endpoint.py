"""The sandbox's AWS endpoint as a process: ministack, with what it lacks put in front of it.

`python -m maintainer.sandbox.endpoint DIRECTORY` serves until it is ended. It holds a lock on DIRECTORY/lock while it lives.
"""

from __future__ import annotations

import fcntl
import re
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from maintainer.edges.clock import read_offset

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

_OF_THE_WHOLE = (b"content-length", b"content-range", b"x-amz-checksum-")
_RANGE = re.compile(rb"bytes=(\d+)-(\d*)")
_CONDITIONS = (
    "x-amz-copy-source",
    "x-amz-storage-class",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)
"""Headers of a put that are condition keys (AWS service authorization reference, Amazon S3)."""


def cut_ranges(app: App) -> App:
    """Answer a ranged GET of a version as S3 does: ministack 1.5.33 ignores Range when a version id is given."""

    async def cutting(scope: Message, receive: Receive, send: Send) -> None:
        wanted = _wanted_range(scope)
        if wanted is None:
            await app(scope, receive, send)
            return
        first, last = wanted
        at = 0
        end = 0  # 0: not cut

        async def cut(message: Message) -> None:
            nonlocal at, end
            if message["type"] == "http.response.start":
                headers = {name.lower(): value for name, value in message["headers"]}
                size = int(headers.get(b"content-length", b"0"))
                if message["status"] == 200 and first < size:  # noqa: PLR2004 - HTTP's own
                    end = size if last is None else min(last + 1, size)
                    # A checksum of the whole is not sent with a part of it.
                    kept = [(name, value) for name, value in message["headers"] if not name.lower().startswith(_OF_THE_WHOLE)]
                    shown = f"bytes {first}-{end - 1}/{size}".encode()
                    kept += [(b"content-length", str(end - first).encode()), (b"content-range", shown)]
                    message = {**message, "status": 206, "headers": kept}
            elif message["type"] == "http.response.body" and end:
                body = message.get("body", b"")
                message = {**message, "body": body[max(first - at, 0) : max(end - at, 0)]}
                at += len(body)
            await send(message)

        await app(scope, receive, cut)

    return cutting


def _wanted_range(scope: Message) -> tuple[int, int | None] | None:
    if scope["type"] != "http" or scope["method"] != "GET" or "versionId" not in parse_qs(scope["query_string"].decode()):
        return None
    found = next((_RANGE.fullmatch(value) for name, value in scope["headers"] if name.lower() == b"range"), None)
    return (int(found[1]), int(found[2]) if found[2] else None) if found else None


def accept_real_signatures(clock: Path) -> None:
    """Judge signatures by the real time: clients sign by it, while the endpoint's own time has been moved."""
    from ministack.core import sigv4  # noqa: PLC0415 - must be replaced before ministack.app binds the names

    skewed, expired = sigv4.request_time_failure, sigv4.presigned_request_is_expired

    def real_now() -> datetime:
        return datetime.now(UTC) - timedelta(seconds=read_offset(clock))  # noqa: TID251 - libfaketime moves this process alone

    sigv4.request_time_failure = lambda signature, **_: skewed(signature, now=real_now())
    sigv4.presigned_request_is_expired = lambda date, expires, **_: expired(date, expires, now=real_now())


def judge_headers_of_puts() -> None:
    """Let a policy's conditions see every header that AWS lets them see of a put: ministack 1.5.33 shows encryption and ACL alone."""
    from ministack.core import iam_actions  # noqa: PLC0415 - replaced before the first request

    shown = iam_actions.s3_service_context

    def show(action: str, query: Any, path: str = "", headers: dict[str, str] | None = None) -> dict[str, str]:
        context: dict[str, str] = shown(action, query, path, headers)
        if action == "s3:PutObject":
            context |= {f"s3:{name}": headers[name] for name in _CONDITIONS if headers and name in headers}
        return context

    iam_actions.s3_service_context = show


def main() -> None:
    """Serve until ended."""
    directory = Path(sys.argv[1])
    lock = (directory / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    accept_real_signatures(directory / "clock")
    judge_headers_of_puts()
    sys.argv = ["ministack"]
    import ministack.app as ministack  # noqa: PLC0415

    ministack.app = cut_ranges(ministack.app)
    ministack.main()


if __name__ == "__main__":
    main()
