"""Asking a store for pages: what goes wrong on the way is repeated or told, and never a page that is too short."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import RefreshableCredentials

from maintainer.core.errors import AccessDeniedError, MaintainerError, StoreError
from maintainer.core.job import Access
from maintainer.edges.s3 import ATTEMPTS, S3
from tests.edges.test_versionlist import AWS, ROWS

GOOD = AWS.render(ROWS)
WAIT_S = 0.5
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>later</Message></Error>"
Answer = tuple[int, bytes, int]
"""A status, a body, and how much of it is sent before the connection is cut; 0 for all."""


class Server:
    """Answers by a function of the query and of how many came before."""

    def __init__(self) -> None:
        self.answer: Callable[[int], Answer] = lambda _: (200, GOOD, 0)
        self.queries: list[dict[str, list[str]]] = []
        self.authorized: list[str] = []
        self._lock = threading.Lock()

    def serve(self) -> Iterator[str]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                with outer._lock:
                    number = len(outer.queries)
                    outer.queries.append(parse_qs(urlsplit(self.path).query, keep_blank_values=True))
                    outer.authorized.append(self.headers["Authorization"])
                status, body, cut = outer.answer(number)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:cut] if cut else body)
                self.close_connection = bool(cut)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def told() -> list[tuple[str, int, str, float]]:
    return []


@pytest.fixture
def s3(server: Server, tmp_path: Path, told: list[tuple[str, int, str, float]], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    monkeypatch.setattr("maintainer.edges.s3.FIRST_WAIT_S", 0.01)
    keys = tmp_path / "credentials"
    keys.write_text("[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = s3cret\n")
    for endpoint in server.serve():
        yield S3(Access(endpoint, "us-east-1", "", str(keys)), on_retry=lambda *fact: told.append(fact))


BAD: dict[str, Answer] = {
    "cut": (200, GOOD, len(GOOD) // 2),
    "no XML": (200, b"<html>busy", 0),
    "an error with a good status": (200, b"<Error><Code>InternalError</Code></Error>", 0),
    "without its end": (200, GOOD[:-30], 0),
    "slow down": (503, SLOW_DOWN, 0),
    "no body": (500, b"", 0),
}


@pytest.mark.parametrize("name", BAD)
def test_what_may_pass_is_repeated(name: str, server: Server, s3: S3, told: list[tuple[str, int, str, float]]) -> None:
    server.answer = lambda number: BAD[name] if number < 2 else (200, GOOD, 0)
    assert s3.page("b", "web/").rows == ROWS
    assert [(call, attempt) for call, attempt, _, _ in told] == [("list_object_versions", 1), ("list_object_versions", 2)]


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_pass_is_an_error(name: str, server: Server, s3: S3) -> None:
    server.answer = lambda _: BAD[name]
    with pytest.raises(StoreError, match=r"list_object_versions s3://b"):
        s3.page("b", "web/")
    assert len(server.queries) == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "code", "says"), [(403, "AccessDenied", "ListBucketVersions"), (400, "ExpiredToken", "does not know these")]
)
def test_what_s3_refuses_is_not_repeated(status: int, code: str, says: str, server: Server, s3: S3) -> None:
    server.answer = lambda _: (status, f"<Error><Code>{code}</Code></Error>".encode(), 0)
    with pytest.raises((AccessDeniedError, MaintainerError), match=says) as raised:
        s3.page("b", "web/")
    assert len(server.queries) == 1
    assert "s3cret" not in str(raised.value)
    assert "Signature" not in str(raised.value)


def test_markers_and_strange_prefixes_arrive_as_they_are(server: Server, s3: S3) -> None:
    s3.page("b", "wä b+%/", "wä b+%/data/\n&=", "v=1&+")
    assert server.queries == [
        {
            "versions": [""],
            "encoding-type": ["url"],
            "prefix": ["wä b+%/"],
            "key-marker": ["wä b+%/data/\n&="],
            "version-id-marker": ["v=1&+"],
        }
    ]


def test_credentials_that_expire_in_the_middle_are_renewed(server: Server, s3: S3) -> None:
    expiry = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    renewed = {"access_key": "AKIANEW", "secret_key": "n", "token": "t", "expiry_time": expiry}
    s3._credentials = RefreshableCredentials("AKIAOLD", "o", "t", datetime.now(UTC) + timedelta(hours=1), lambda: renewed, "test")
    s3.page("b", "web/")
    s3._credentials._expiry_time = datetime.now(UTC)
    s3.page("b", "web/")
    assert ["AKIAOLD" in one for one in server.authorized] == [True, False]
    assert "AKIANEW" in server.authorized[1]


def test_all_wait_while_one_was_told_to_slow_down(server: Server, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever comes while one waits asks only when it has waited."""
    came: list[tuple[str, float]] = []

    def answer(number: int) -> Answer:
        came.append((server.queries[number]["prefix"][0], time.monotonic()))
        return (503, SLOW_DOWN, 0) if len(came) == 1 else (200, GOOD, 0)

    def other() -> None:
        while not s3._slowed._who and len(came) < 2:
            time.sleep(0.01)
        s3.page("b", "other")

    server.answer = answer
    monkeypatch.setattr("maintainer.edges.s3.wait_random_exponential", lambda **_: lambda _: WAIT_S)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(s3.page, "b", "slow")
        for one in [pool.submit(other) for _ in range(3)]:
            one.result()
        assert first.result().rows == ROWS
    assert came[0][0] == "slow"
    assert sorted(prefix for prefix, _ in came[1:]) == ["other", "other", "other", "slow"]
    assert min(when for _, when in came[1:]) - came[0][1] >= WAIT_S
