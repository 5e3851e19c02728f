"""A proxy on loopback that fails: some requests get 503 SlowDown, some answers are cut in the middle, or never go on."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Container
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 61\r\nConnection: close\r\n\r\n"
    b"<Error><Code>SlowDown</Code><Message>later</Message></Error>\n\n"
)
NOT_IMPLEMENTED = (
    b"HTTP/1.1 501 Not Implemented\r\nContent-Type: application/xml\r\nContent-Length: 65\r\nConnection: close\r\n\r\n"
    b"<Error><Code>NotImplemented</Code><Message>what</Message></Error>"
)
DENIED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 60\r\nConnection: close\r\n\r\n"
    b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
)
STALLED = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\nthe first bytes"


class FaultyProxy:
    """Forwards connections to an endpoint. `slow` and `cut` are shares of connections; the dice are seeded.

    A request whose head has `unknown` in it gets `answer`, by default 501 NotImplemented, as a store answers what it does not know; of those that have it, by number from 0, `which` alone.
    After an answer the connection is closed, but after STALLED: that goes on for no one.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        slow: float = 0,
        cut: float = 0,
        seed: int = 0,
        unknown: bytes = b"",
        answer: bytes = NOT_IMPLEMENTED,
        which: Container[int] = range(1 << 30),
    ) -> None:
        parts = urlsplit(endpoint)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._slow, self._cut, self._unknown = slow, cut, unknown
        self._answer = answer
        self._over = threading.Event()
        self._which = which
        self._seen = 0
        self._turn = threading.Lock()
        self._dice = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.close()
        self._over.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client, self._dice.random()), daemon=True).start()

    def _serve(self, client: socket.socket, fate: float) -> None:
        with client, suppress(OSError):
            if fate < self._slow:
                self.faults += 1
                client.recv(65536)
                client.sendall(SLOW_DOWN)
                return
            limit = 20_000 if fate < self._slow + self._cut else 0
            with socket.create_connection(self._target) as server:
                up = threading.Thread(target=self._pump, args=(client, server, 0, self._is_refused), daemon=True)
                up.start()
                self._pump(server, client, limit, lambda _: False)

    def _is_refused(self, part: bytes) -> bool:
        if not self._unknown or self._unknown not in part.partition(b"\r\n\r\n")[0]:
            return False
        with self._turn:
            self._seen += 1
            return self._seen - 1 in self._which

    def _pump(self, source: socket.socket, sink: socket.socket, limit: int, is_refused: Callable[[bytes], bool]) -> None:
        """Copy until either ends, or until `limit` bytes have passed: then both are cut."""
        passed = 0
        with suppress(OSError):
            while part := source.recv(65536):
                passed += len(part)
                if limit and passed > limit:
                    self.faults += 1
                    break
                if is_refused(part):  # requests alone: a listing names what is refused, too
                    self.faults += 1
                    source.sendall(self._answer)
                    if self._answer is STALLED:
                        self._over.wait()
                    break
                sink.sendall(part)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
