"""An SDK that has lost an answer gets it again, and nothing is done twice."""

from __future__ import annotations

import http.client
import io
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.ec2 import one_at_a_time
from maintainer.sandbox.provision import root_client


def test_the_endpoint_answers_a_call_that_comes_again_as_before(sandbox: Sandbox) -> None:
    iam, name = root_client("iam", sandbox.endpoint), f"u-{uuid.uuid4().hex}"
    call = {"id": "first"}

    def mark(request: Any, **_: Any) -> None:
        request.headers["amz-sdk-invocation-id"] = f"{name}-{call['id']}"

    iam.meta.events.register("before-send.iam.CreateUser", mark)
    made = iam.create_user(UserName=name)["User"]
    assert iam.create_user(UserName=name)["User"] == made
    call["id"] = "another"
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_user(UserName=name)


def test_a_call_that_comes_again_leaves_its_connection_open(sandbox: Sandbox) -> None:
    """Also where the body comes after the head, in a packet of its own, as on a machine that is busy."""
    iam, call = root_client("iam", sandbox.endpoint), uuid.uuid4().hex
    iam.meta.events.register("before-send.iam.CreateUser", lambda request, **_: request.headers.update({"amz-sdk-invocation-id": call}))
    iam.create_user(UserName=f"u-{call}")
    connection = http.client.HTTPConnection(urlsplit(sandbox.endpoint).netloc)
    for _ in range(2):
        connection.putrequest("POST", "/")
        connection.putheader("amz-sdk-invocation-id", call)
        connection.putheader("Content-Length", "4")
        connection.endheaders()
        time.sleep(0.1)
        connection.send(b"body")
        answer = connection.getresponse()
        assert (answer.status, b"CreateUserResponse" in answer.read(), answer.will_close) == (200, True, False)
        assert connection.sock is not None


def test_ec2_does_so_too_and_keeps_no_refusal() -> None:
    done: list[str] = []

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        done.append(environ["HTTP_AMZ_SDK_INVOCATION_ID"])
        start_response("200 OK" if environ["good"] else "503 Slow Down", [])
        return [str(len(done)).encode()]

    def ask(call: str, *, good: bool = True) -> tuple[str, bytes]:
        status: list[str] = []
        body = b"".join(
            answering({"HTTP_AMZ_SDK_INVOCATION_ID": call, "good": good, "wsgi.input": io.BytesIO()}, lambda said, _: status.append(said))
        )
        return status[0], body

    answering = one_at_a_time(application)
    assert ask("a") == ask("a") == ("200 OK", b"1")
    assert ask("b", good=False) == ("503 Slow Down", b"2")
    assert ask("b") == ("200 OK", b"3")
    assert done == ["a", "b", "b"]
