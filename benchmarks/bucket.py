"""An S3 bucket in memory, with versions: what heals has something to heal, and little of the time is the store's.

python -m benchmarks.bucket SCENE PINS      writes to PINS what a ledger holds of it, prints its endpoint, and serves until its standard
input ends. GET /?verdict tells how much of it is true.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import sys
import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from benchmarks import manypacks
from maintainer.core.records import Record, State, write_record
from maintainer.edges.clock import Clock, SystemClock

BUCKET, ROOT = "healed", "bench/"
PER_PAGE = 1000
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BODY = 64 << 10
"""Bytes of a pack that is attacked. Of the others nobody reads any."""


@dataclass(slots=True)
class Version:
    """One version: `body` is None where nobody reads it."""

    id: str
    made: datetime
    size: int
    body: bytes | None
    is_marker: bool = False


@dataclass
class Bucket:
    """Keys in order, each with its versions, newest first. `pins` are the true versions, by key."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    pins: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))
    clock: Clock = field(default_factory=SystemClock)

    def add(
        self, key: str, body: bytes | None, made: datetime | None = None, size: int | None = None, *, is_marker: bool = False
    ) -> Version:
        """Put a version on top of a key."""
        length = len(body or b"") if size is None else size
        version = Version(f"v{next(self.numbers):09d}", made or self.clock.now(), length, body, is_marker)
        if key not in self.versions:
            self.versions[key] = []
            if self.keys:  # they are in order already
                insort(self.keys, key)
        self.versions[key].insert(0, version)
        return version

    def seal(self) -> None:
        """Bring the keys in order, once most are there."""
        self.keys = sorted(self.versions)

    def page(self, prefix: str, marker: str, version_marker: str) -> bytes:
        """Render a page of versions after a marker."""
        entries: list[str] = []
        at = bisect_right(self.keys, marker) if marker >= prefix else bisect_right(self.keys, prefix)
        last = ("", "")
        if marker and version_marker and marker in self.versions:
            ids = [one.id for one in self.versions[marker]]
            for version in self.versions[marker][ids.index(version_marker) + 1 :]:
                entries.append(_entry(marker, version, is_latest=False))
                last = (marker, version.id)
        is_truncated = False
        while at < len(self.keys) and self.keys[at].startswith(prefix):
            key = self.keys[at]
            for number, version in enumerate(self.versions[key]):
                if len(entries) == PER_PAGE:
                    is_truncated = True
                    break
                entries.append(_entry(key, version, is_latest=number == 0))
                last = (key, version.id)
            if is_truncated:
                break
            at += 1
        told = f"<NextKeyMarker>{last[0]}</NextKeyMarker><NextVersionIdMarker>{last[1]}</NextVersionIdMarker>" if is_truncated else ""
        said = f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><KeyMarker>{marker}</KeyMarker>"
        said += f"<VersionIdMarker>{version_marker}</VersionIdMarker>{told}"
        said += f"<MaxKeys>{PER_PAGE}</MaxKeys><EncodingType>url</EncodingType><IsTruncated>{str(is_truncated).lower()}</IsTruncated>"
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        return f"{head}{said}{''.join(entries)}</ListVersionsResult>".encode()

    def listing(self, prefix: str, after: str) -> bytes:
        """Render a page of current objects (ListObjectsV2); its token is the last key."""
        entries: list[str] = []
        at = bisect_right(self.keys, max(after, prefix))
        while at < len(self.keys) and self.keys[at].startswith(prefix) and len(entries) < PER_PAGE:
            key, version = self.keys[at], self.versions[self.keys[at]][0]
            at += 1
            if not version.is_marker:
                said = f"<Key>{key}</Key><LastModified>{version.made:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
                entries.append(
                    f"<Contents>{said}<ETag>&quot;{version.id}&quot;</ETag><Size>{version.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
        is_truncated = at < len(self.keys) and self.keys[at].startswith(prefix)
        token = f"<NextContinuationToken>{self.keys[at - 1]}</NextContinuationToken>" if is_truncated else ""
        said = f"<Name>{BUCKET}</Name><Prefix>{prefix}</Prefix><KeyCount>{len(entries)}</KeyCount><MaxKeys>{PER_PAGE}</MaxKeys>{token}"
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        return f"{head}{said}<IsTruncated>{str(is_truncated).lower()}</IsTruncated>{''.join(entries)}</ListBucketResult>".encode()

    def write_pins(self, place: Path) -> None:
        """Write the records of all keys, as a ledger's segments have them."""
        with place.open("w") as file:
            for key, pin in sorted(self.pins.items()):
                version = next(one for one in self.versions[key] if one.id == pin)
                record = Record(State.ADMITTED, pin, version.size, version.made, version.made)
                file.write(f"{key.removeprefix(ROOT)}\t{write_record(record)}\n")

    def verdict(self) -> dict[str, int]:
        """Count the keys that show what is true, what is not, and nothing."""
        found = {"keys": len(self.pins), "right": 0, "wrong": 0, "hidden": 0}
        for key, pin in self.pins.items():
            current = self.versions[key][0]
            true = next(one for one in self.versions[key] if one.id == pin)
            is_right = current is true or (not current.is_marker and (current.body, current.size) == (true.body, true.size))
            found["hidden" if current.is_marker else "right" if is_right else "wrong"] += 1
        return found


def _entry(key: str, version: Version, *, is_latest: bool) -> str:
    said = f"<Key>{key}</Key><VersionId>{version.id}</VersionId><IsLatest>{str(is_latest).lower()}</IsLatest>"
    said += f"<LastModified>{version.made:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
    if version.is_marker:
        return f"<DeleteMarker>{said}</DeleteMarker>"
    return f"<Version>{said}<ETag>&quot;{version.id}&quot;</ETag><Size>{version.size}</Size><StorageClass>STANDARD</StorageClass></Version>"


def _pack(number: int) -> tuple[str, bytes]:
    body = random.Random(number).randbytes(BODY)
    name = hashlib.sha256(body).hexdigest()
    return f"{ROOT}data/{name[:2]}/{name}", body


def overwritten(keys: int, attacked: int) -> Bucket:
    """Return a bucket whose keys came ten days ago, one in a hundred with an older version; some were overwritten yesterday."""
    bucket = Bucket()
    before = [BEGAN, BEGAN + DAY]
    for number in range(keys - attacked):
        name = hashlib.sha256(b"%d" % number).hexdigest()
        key = f"{ROOT}data/{name[:2]}/{name}"
        for made in before[: 2 if number % 100 == 0 else 1]:
            bucket.pins[key] = bucket.add(key, None, made, BODY).id
    for number in range(attacked):
        key, body = _pack(number)
        bucket.pins[key] = bucket.add(key, body, BEGAN).id
        bucket.add(key, b"garbage", BEGAN + 20 * DAY)
    bucket.seal()
    return bucket


def for_weeks(weeks: int, each: int) -> Bucket:
    """Return a bucket into which packs came every week, while every week some of the week before were overwritten, or hidden."""
    bucket = Bucket()
    for week in range(weeks):
        for number in range(each):
            key, body = _pack(week * each + number)
            bucket.pins[key] = bucket.add(key, body, BEGAN + 7 * week * DAY).id
        for number in range(each // 10):  # of the last week too: whoever goes back before it loses what came since
            key, _ = _pack(week * each + number)
            is_marker = number % 2 == 0
            bucket.add(key, b"" if is_marker else b"garbage", BEGAN + (7 * week + 3) * DAY, is_marker=is_marker)
    bucket.seal()
    return bucket


def packs(count: int) -> Bucket:
    """Return a bucket with a repository of so many packs."""
    bucket = Bucket()
    for key, body in manypacks.repository(count):
        bucket.pins[f"{ROOT}{key}"] = bucket.add(f"{ROOT}{key}", body, BEGAN).id
    bucket.seal()
    return bucket


def large(count: int, size: int) -> Bucket:
    """Return a bucket of so many packs of `size` bytes, which are all the same, so that they take no more memory than one."""
    bucket, body = Bucket(), random.Random(1).randbytes(size)
    for number in range(count):
        key = f"{ROOT}data/{number % 256:02x}/{number % 256:02x}{number:062x}"
        bucket.pins[key] = bucket.add(key, body, BEGAN).id
    bucket.seal()
    return bucket


SCENES: dict[str, Callable[[], Bucket]] = {
    "large": lambda: large(128, 16 << 20),
    "large, 10 Gbit/s": lambda: large(128, 16 << 20),
    "packs": lambda: packs(200_000),
    "overwritten": lambda: overwritten(200_000, 5_000),
    "weeks": lambda: for_weeks(4, 1_000),
}


BYTES_A_SECOND = {"large, 10 Gbit/s": 1.25e9}
"""Of all connections together; of other scenes, what two cores allow."""


class _Line:
    """A network of so many bytes a second, that all share."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._clock = SystemClock()
        self._free = 0.0
        self._turn = threading.Lock()

    def send(self, client: socket.socket, answer: bytes) -> None:
        whole = memoryview(answer)
        for begin in range(0, len(whole), _AT_ONCE):
            part = whole[begin : begin + _AT_ONCE]
            with self._turn:
                now = self._clock.monotonic()
                wait = max(self._free - now, 0.0)
                self._free = max(self._free, now) + len(part) / self._rate
            self._clock.sleep(wait)
            client.sendall(part)


_AT_ONCE = 256 << 10


class _Connection:
    """One client's connection: requests one after the other."""

    def __init__(self, client: socket.socket, bucket: Bucket, turn: threading.Lock, line: _Line) -> None:
        self._line = line
        self._client = client
        self._bucket = bucket
        self._turn = turn

    def serve(self) -> None:
        with self._client, suppress(OSError):
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            got = b""
            while data := self._client.recv(1 << 16):
                got += data
                while b"\r\n\r\n" in got:
                    head, _, got = got.partition(b"\r\n\r\n")
                    first, *lines = head.decode().split("\r\n")
                    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                    length = int(headers.get("content-length", 0))
                    if length and headers.get("expect"):
                        self._client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    while len(got) < length:
                        got += self._client.recv(1 << 16)
                    body, got = got[:length], got[length:]
                    method, target = first.split(" ", 2)[:2]
                    with self._turn:
                        answer = self._answer(method, target, headers, body)
                    self._line.send(self._client, answer)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        url = urlsplit(target)
        query = parse_qs(url.query, keep_blank_values=True)
        key = unquote(url.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        if "verdict" in query:
            return _response(json.dumps(self._bucket.verdict()).encode())
        if "versions" in query:
            return _response(
                self._bucket.page(*(query.get(name, [""])[0] for name in ("prefix", "key-marker", "version-id-marker"))), "application/xml"
            )
        if query.get("list-type"):
            after = query.get("continuation-token", query.get("start-after", [""]))[0]
            return _response(self._bucket.listing(query.get("prefix", [""])[0], after), "application/xml")
        if not key:
            return _response(b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>", "application/xml")
        if method in ("GET", "HEAD"):
            there = self._bucket.versions.get(key, [])
            wanted = query.get("versionId", [there[0].id if there else ""])[0]
            version = next((one for one in there if one.id == wanted and not one.is_marker), None)
            if version is None:
                return _response(b"<Error><Code>NoSuchKey</Code></Error>", "application/xml", status="404 Not Found")
            return _object(version, headers.get("range", ""), is_head=method == "HEAD")
        if method == "DELETE":
            return _response(b"", "", self._bucket.add(key, None, is_marker=True).id, status="204 No Content")
        if source := headers.get("x-amz-copy-source"):
            path, _, wanted = unquote(source).lstrip("/").removeprefix(f"{BUCKET}/").partition("?versionId=")
            true = next(one for one in self._bucket.versions[path] if one.id == wanted)
            made = self._bucket.add(key, true.body, size=true.size)
            told = f"<ETag>&quot;{made.id}&quot;</ETag><LastModified>{made.made:%Y-%m-%dT%H:%M:%S}.000Z</LastModified>"
            told = f"<CopyObjectResult>{told}</CopyObjectResult>"
            return _response(told.encode(), "application/xml", made.id)
        if headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            body = _unchunked(body)
        return _response(b"", "", self._bucket.add(key, body).id)


def _response(body: bytes, kind: str = "application/json", version: str = "", status: str = "200 OK") -> bytes:
    named = f"x-amz-version-id: {version}\r\n" if version else ""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{named}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _unchunked(body: bytes) -> bytes:
    """Return what was signed piece by piece, as restic does it where there is no TLS."""
    pieces: list[bytes] = []
    while body:
        head, _, body = body.partition(b"\r\n")
        length = int(head.partition(b";")[0], 16)
        pieces.append(body[:length])
        body = body[length + 2 :]
    return b"".join(pieces)


def _object(version: Version, wanted: str, *, is_head: bool) -> bytes:
    body, status, more = version.body or b"", "200 OK", ""
    if wanted:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = body[int(first) : int(last) + 1 if last else len(body)]
        status, more = "206 Partial Content", f"Content-Range: bytes {first}-{int(first) + len(part) - 1}/{len(body)}\r\n"
        body = part
    dates = f'Last-Modified: {version.made:%a, %d %b %Y %H:%M:%S} GMT\r\nETag: "{version.id}"\r\n'
    named = f"Content-Type: application/octet-stream\r\nx-amz-version-id: {version.id}\r\n{dates}{more}"
    return f"HTTP/1.1 {status}\r\n{named}Content-Length: {len(body)}\r\n\r\n".encode() + (b"" if is_head else body)


def main() -> None:
    """Serve until the standard input ends."""
    bucket, turn, line = SCENES[sys.argv[1]](), threading.Lock(), _Line(BYTES_A_SECOND.get(sys.argv[1], float("inf")))
    bucket.write_pins(Path(sys.argv[2]))
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)

    def accept() -> None:
        while True:
            connection = _Connection(listener.accept()[0], bucket, turn, line)
            threading.Thread(target=connection.serve, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
