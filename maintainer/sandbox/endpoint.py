"""The sandbox's AWS endpoint as a process: ministack, with what it lacks put in front of it.

`python -m maintainer.sandbox.endpoint DIRECTORY LATENCY_MS` serves until it is ended. It holds a lock on DIRECTORY/lock while it lives.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus
from xml.sax.saxutils import unescape

from maintainer.edges.clock import read_offset
from maintainer.sandbox import processes
from maintainer.sandbox.given import Given
from maintainer.sandbox.provision import ACCOUNT, REGION
from maintainer.sandbox.tunnels import Tunnels

_CONDITIONS = (
    "if-none-match",
    "x-amz-copy-source",
    "x-amz-storage-class",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
)
"""Headers of a put that are condition keys (AWS service authorization reference, Amazon S3)."""


def cut_ranges_of_versions() -> None:
    """Answer a ranged GET of a version as S3 does: ministack 1.5.33 sends the whole of it, and cuts the current object alone."""
    from ministack.services import s3  # noqa: PLC0415 - replaced before the first request

    read = s3._get_object  # noqa: SLF001

    def cut(bucket: str, key: str, headers: dict[str, str], query: Any = None) -> tuple[int, dict[str, str], bytes]:
        status, answered, body = read(bucket, key, headers, query)
        wanted = s3._parse_range(headers.get("range", ""), len(body)) if status == 200 else None  # noqa: PLR2004, SLF001 - HTTP's own
        if wanted is None:
            return status, answered, body
        first, last = wanted
        # A checksum of the whole is not sent with a part of it.
        kept = {name: value for name, value in answered.items() if not name.lower().startswith("x-amz-checksum-")}
        shown = f"bytes {first}-{last}/{len(body)}"
        return 206, kept | {"Content-Length": str(last + 1 - first), "Content-Range": shown}, body[first : last + 1]

    s3._get_object = cut  # noqa: SLF001


def encode_keys_of_versions() -> None:
    """Encode the keys of a listing of versions where that is asked for: ministack 1.5.33 does not, and so some keys make it no XML."""
    from ministack.services import s3  # noqa: PLC0415 - replaced before the first request

    listed = s3._list_object_versions  # noqa: SLF001

    def encoded(field: re.Match[bytes]) -> bytes:
        key = unescape(field[2].decode(), {"&quot;": '"', "&apos;": "'", "&#10;": "\n", "&#13;": "\r", "&#09;": "\t"})
        return b"<%b>%b</" % (field[1], quote_plus(key, safe="/").encode())

    def encode(bucket: str, query: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = listed(bucket, query)
        if status == 200 and s3._qp(query, "encoding-type", "") == "url":  # noqa: PLR2004, SLF001 - HTTP's own
            body = re.sub(rb"<(Key|KeyMarker|NextKeyMarker|Prefix|Delimiter)>([^<]*)</", encoded, body)
            body = body.replace(b"<IsTruncated>", b"<EncodingType>url</EncodingType><IsTruncated>", 1)
        return status, headers, body

    s3._list_object_versions = encode  # noqa: SLF001


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
            # Of a multipart upload its last request alone creates an object. (Keys are looked up in lower case.)
            begins = "uploads" in (query or {}) or "partNumber" in (query or {})
            context["s3:objectcreationoperation"] = str(not begins).lower()
        return context

    iam_actions.s3_service_context = show


def name_roles_of_sessions() -> None:
    """Let aws:PrincipalArn be the role that a session has taken, as on AWS: ministack 1.5.33 gives the session's own ARN."""
    from ministack.core import iam_evaluator  # noqa: PLC0415 - replaced before the first request
    from ministack.services import iam  # noqa: PLC0415

    resolve = iam_evaluator._resolve_condition_key  # noqa: SLF001

    def name(key: str, context: Any) -> Any:
        said = resolve(key, context)
        if key.lower() != "aws:principalarn" or ":assumed-role/" not in said:
            return said
        account, role = said.split(":")[4], said.split("/")[1]
        return iam._roles.get_scoped(account, None, role)["Arn"]  # noqa: SLF001

    iam_evaluator._resolve_condition_key = name  # noqa: SLF001


def show_callers_to_other_accounts() -> None:
    """Let a bucket's policy see who of another account asks: ministack 1.5.33 shows it that account's root."""
    from ministack.core import iam_evaluator  # noqa: PLC0415 - replaced before the first request

    asking: ContextVar[Any] = ContextVar("asking", default=None)
    resolve, judge = iam_evaluator.resolve_principal, iam_evaluator.evaluate_resource_policy

    def remember(*given: Any, **named: Any) -> Any:
        found = resolve(*given, **named)
        asking.set(found)
        return found

    def judge_caller(document: Any, context: Any, *given: Any, **named: Any) -> Any:
        caller = asking.get()
        if context.principal_type == "Root" and getattr(caller, "account", None) == context.principal_account:
            context = replace(context, principal_arn=caller.arn, principal_type=caller.type)
        return judge(document, context, *given, **named)

    iam_evaluator.resolve_principal = remember
    iam_evaluator.evaluate_resource_policy = judge_caller


def judge_paths_of_parameters() -> None:
    """Let a policy judge which path of parameters is listed: ministack 1.5.33 asks for the right to all of them."""
    from ministack.core import iam_actions  # noqa: PLC0415 - replaced before the first request

    extract = iam_actions.extract_resource_arn

    def extract_path(service: str, method: str, path: str, headers: dict[str, str], body: bytes, *given: Any, **named: Any) -> Any:
        found = extract(service, method, path, headers, body, *given, **named)
        if found == "*" and service == "ssm" and headers.get("x-amz-target", "").endswith(".GetParametersByPath"):
            return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{json.loads(body)['Path']}"
        return found

    iam_actions.extract_resource_arn = extract_path


def tag_versions_under_markers() -> None:
    """Let versions be tagged that lie under a delete marker, as on AWS: to ministack 1.5.33 their key does not exist."""
    from ministack.services import s3  # noqa: PLC0415 - replaced before the first request

    def beneath(act: Any) -> Any:
        def acted(name: str, key: str, *given: Any) -> Any:
            bucket = s3._ensure_bucket(name)  # noqa: SLF001
            if bucket is None or key in bucket["objects"] or not s3._qp(given[-1] or {}, "versionId", ""):  # noqa: SLF001
                return act(name, key, *given)
            bucket["objects"][key] = {}
            try:
                return act(name, key, *given)
            finally:
                del bucket["objects"][key]

        return acted

    s3._get_object_tagging = beneath(s3._get_object_tagging)  # noqa: SLF001
    s3._put_object_tagging = beneath(s3._put_object_tagging)  # noqa: SLF001


def count_as_tls() -> None:
    """Judge every request as one with TLS, which loopback does not need; one that says `X-Forwarded-Proto: http` as one without."""
    import ministack.app as served  # noqa: PLC0415 - replaced before it is served

    plain = served.app

    async def secure(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and all(name != b"x-forwarded-proto" for name, _ in scope["headers"]):
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        await plain(scope, receive, send)

    served.app = secure


def answer_each_call_once() -> None:
    """Give a call its first answer where an SDK asks it again, and write in the log what was not answered.

    Of services with a query or JSON protocol alone: S3's calls are safe to repeat, and their answers too large to keep.
    """
    import ministack.app as served  # noqa: PLC0415 - replaced before it is served

    plain, given = served.app, Given()

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await plain(scope, receive, send)
            return
        named = scope["method"] == "POST" and scope["path"] == "/"
        call = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"amz-sdk-invocation-id"), "") if named else ""
        if before := given.again(call):
            # The body first: a server closes a connection on which it answered before it had read the request, and the next call is lost.
            while (await receive()).get("more_body", False):
                pass
            for message in before:
                await send(message)
            return
        said: list[Any] = []

        async def note(message: Any) -> None:
            if call or not said:
                said.append(message)
            await send(message)

        try:
            await plain(scope, receive, note)
        finally:
            status = said[0]["status"] if said else 0
            if not 0 < status < 500:  # noqa: PLR2004 - HTTP's own
                sys.stderr.write(f"{scope['method']} {scope['path']}: {status or 'no answer'}\n")
            elif status < 300 and not said[-1].get("more_body", False):  # noqa: PLR2004
                given.keep(call, said)

    served.app = answer


def answer_late(seconds: float) -> None:
    """Hold every answer back, as the way to a store that is not on this machine does."""
    import ministack.app as served  # noqa: PLC0415 - replaced before it is served

    at_once = served.app

    async def late(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await asyncio.sleep(seconds)
        await at_once(scope, receive, send)

    served.app = late


def open_tunnels(directory: Path) -> None:
    """Serve the tunnels of EC2 Instance Connect, which ministack 1.5.33 does not know."""
    import ministack.app as served  # noqa: PLC0415 - replaced before it is served

    served.app = Tunnels(served.app, directory)


def main() -> None:
    """Serve until ended."""
    directory = Path(sys.argv[1])
    processes.hold(directory / "lock")
    accept_real_signatures(directory / "clock")
    judge_headers_of_puts()
    cut_ranges_of_versions()
    encode_keys_of_versions()
    judge_paths_of_parameters()
    tag_versions_under_markers()
    name_roles_of_sessions()
    show_callers_to_other_accounts()
    count_as_tls()
    answer_each_call_once()
    open_tunnels(directory)
    if latency_ms := int(sys.argv[2]):
        answer_late(latency_ms / 1000)
    sys.argv = ["ministack"]
    from ministack.app import main as serve  # noqa: PLC0415 - binds what was replaced above

    serve()


if __name__ == "__main__":
    main()
