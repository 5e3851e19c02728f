"""An S3 in memory, for tests that need no access control: versions, delete markers, conditional puts, tags, a clock that can be moved.

`python -m tests.support.memorys3 DIRECTORY` prints its endpoint and serves until its standard input ends. It passes the contract suite of
tests/edges, as the sandbox's endpoint does; a request costs it a fifth of what it costs that. Whoever asks may do everything. What it
does not know is answered with 501. Semantics are those of the Amazon S3 API reference.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from urllib.parse import parse_qs, quote_plus, unquote
from xml.sax.saxutils import escape

from maintainer.edges.clock import read_offset

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
KEPT = ("content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires")
SHOWN = ("x-amz-storage-class", "x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id")
CUSTOMERS_KEY = "x-amz-server-side-encryption-customer-algorithm"
ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


@dataclass(slots=True)
class Version:
    """One version of an object, or a delete marker: `body` is None."""

    id: str
    made: datetime
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    tags: bytes = b""
    etag: str = ""


@dataclass(slots=True)
class Bucket:
    """Keys in order, each with its versions, newest first."""

    versioning: str = ""
    lifecycle: bytes = b""
    keys: list[str] = field(default_factory=list)
    versions: dict[str, list[Version]] = field(default_factory=dict)


class RefusedError(Exception):
    """S3 says no: status, code."""


@dataclass(slots=True)
class Request:
    """One request; `query` has the last value of each name."""

    method: str
    bucket: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


class Store:
    """All buckets, and what each request does."""

    def __init__(self, clock: Path) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._numbers = count(1)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=read_offset(self._clock))

    def answer(self, request: Request) -> Answer:
        try:
            return self._object(request) if request.key else self._whole(request)
        except RefusedError as error:
            status, code = error.args
            body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
            return status, {"content-type": "application/xml"}, body if request.method != "HEAD" else b""

    # Buckets.

    def _whole(self, request: Request) -> Answer:
        if request.method == "PUT" and not request.query:
            self._buckets.setdefault(request.bucket, Bucket())
            return 200, {}, b""
        bucket = self._bucket(request.bucket)
        for name, act in (("versioning", self._versioning), ("lifecycle", self._lifecycle)):
            if name in request.query:
                return act(bucket, request)
        match request.method, next((name for name in ("location", "policy", "versions", "list-type") if name in request.query), ""):
            case "HEAD", _:
                return 200, {}, b""
            case "GET", "location":
                return _xml(f'<LocationConstraint xmlns="{NAMESPACE}"></LocationConstraint>')
            case "GET", "policy":
                raise RefusedError(404, "NoSuchBucketPolicy")
            case "GET", "versions":
                return self._list_versions(request.bucket, bucket, request.query)
            case "GET", "list-type":
                return self._list(request.bucket, bucket, request.query)
        raise RefusedError(501, "NotImplemented")

    @staticmethod
    def _versioning(bucket: Bucket, request: Request) -> Answer:
        if request.method == "PUT":
            found = re.search(rb"<Status>(\w+)</Status>", request.body)
            bucket.versioning = found[1].decode() if found else ""
            return 200, {}, b""
        status = f"<Status>{bucket.versioning}</Status>" if bucket.versioning else ""
        return _xml(f'<VersioningConfiguration xmlns="{NAMESPACE}">{status}</VersioningConfiguration>')

    @staticmethod
    def _lifecycle(bucket: Bucket, request: Request) -> Answer:
        if request.method == "GET":
            if not bucket.lifecycle:
                raise RefusedError(404, "NoSuchLifecycleConfiguration")
            return 200, {"content-type": "application/xml"}, bucket.lifecycle
        bucket.lifecycle = request.body if request.method == "PUT" else b""
        return 200 if request.method == "PUT" else 204, {}, b""

    def _bucket(self, name: str) -> Bucket:
        if name not in self._buckets:
            raise RefusedError(404, "NoSuchBucket")
        return self._buckets[name]

    def _list_versions(self, name: str, bucket: Bucket, query: Mapping[str, str]) -> Answer:
        prefix, most = query.get("prefix", ""), int(query.get("max-keys", "1000"))
        write = quote if query.get("encoding-type") == "url" else escape
        marker, version_marker = query.get("key-marker", ""), query.get("version-id-marker", "")
        entries: list[str] = []
        last, is_cut = ("", ""), False
        for key, number, version in _versions_after(bucket, prefix, marker, version_marker):
            if len(entries) == most:
                is_cut = True
                break
            entries.append(_entry(write(key), version, is_latest=number == 0))
            last = key, version.id
        told = f"<Name>{name}</Name><Prefix>{write(prefix)}</Prefix><KeyMarker>{write(marker)}</KeyMarker>"
        told += f"<VersionIdMarker>{version_marker}</VersionIdMarker><MaxKeys>{most}</MaxKeys>"
        told += "<EncodingType>url</EncodingType>" if write is quote else ""
        told += f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>"
        told += f"<NextKeyMarker>{write(last[0])}</NextKeyMarker><NextVersionIdMarker>{last[1]}</NextVersionIdMarker>" if is_cut else ""
        return _xml(f'<ListVersionsResult xmlns="{NAMESPACE}">{told}{"".join(entries)}</ListVersionsResult>')

    def _list(self, name: str, bucket: Bucket, query: Mapping[str, str]) -> Answer:
        prefix, most, delimiter = query.get("prefix", ""), int(query.get("max-keys", "1000")), query.get("delimiter", "")
        write = quote if query.get("encoding-type") == "url" else escape
        after = query.get("continuation-token", query.get("start-after", ""))
        at = bisect_right(bucket.keys, after) if after >= prefix and after else bisect_left(bucket.keys, prefix)
        entries: list[str] = []
        folders: list[str] = []
        last = ""
        while at < len(bucket.keys) and bucket.keys[at].startswith(prefix) and len(entries) + len(folders) < most:
            key = last = bucket.keys[at]
            at += 1
            version = bucket.versions[key][0]
            if version.body is None:
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                folder = prefix + key[len(prefix) :].partition(delimiter)[0] + delimiter
                if folder not in folders:
                    folders.append(folder)
                continue
            entries.append(f"<Contents><Key>{write(key)}</Key>{_about(version)}</Contents>")
        is_cut = at < len(bucket.keys) and bucket.keys[at].startswith(prefix)
        told = f"<Name>{name}</Name><Prefix>{write(prefix)}</Prefix><KeyCount>{len(entries) + len(folders)}</KeyCount><MaxKeys>{most}</MaxKeys>"
        told += "<EncodingType>url</EncodingType>" if write is quote else ""
        told += f"<IsTruncated>{str(is_cut).lower()}</IsTruncated>"
        told += f"<NextContinuationToken>{write(last) if write is escape else last}</NextContinuationToken>" if is_cut else ""
        common = "".join(f"<CommonPrefixes><Prefix>{write(folder)}</Prefix></CommonPrefixes>" for folder in folders)
        return _xml(f'<ListBucketResult xmlns="{NAMESPACE}">{told}{"".join(entries)}{common}</ListBucketResult>')

    # Objects.

    def _object(self, request: Request) -> Answer:
        bucket, method = self._bucket(request.bucket), request.method
        if "tagging" in request.query:
            return self._tagging(bucket, request)
        if unknown := {"acl", "retention", "legal-hold", "uploads", "uploadId", "torrent", "select"} & set(request.query):
            raise RefusedError(501, f"NotImplemented: {', '.join(unknown)}")
        match method:
            case "PUT" if "x-amz-copy-source" in request.headers:
                return self._copy(bucket, request)
            case "PUT":
                return self._put(bucket, request)
            case "GET" | "HEAD":
                return self._get(bucket, request)
            case "DELETE":
                return self._delete(bucket, request)
        raise RefusedError(405, "MethodNotAllowed")

    def _put(self, bucket: Bucket, request: Request) -> Answer:
        there = bucket.versions.get(request.key)
        if request.headers.get("if-none-match") == "*" and there and there[0].body is not None:
            raise RefusedError(412, "PreconditionFailed")
        headers = {name: value for name, value in request.headers.items() if name in KEPT or name in SHOWN or _is_ours(name)}
        headers.setdefault("content-type", "binary/octet-stream")
        version = self._add(bucket, request.key, request.body, headers, _tags_of(request.headers.get("x-amz-tagging", "")))
        return 200, {"etag": version.etag, **_named(version)}, b""

    def _copy(self, bucket: Bucket, request: Request) -> Answer:
        path, _, query = request.headers["x-amz-copy-source"].partition("?")
        name, _, key = unquote(path).lstrip("/").partition("/")
        source = self._version(self._bucket(name), key, dict(parse_qs(query, keep_blank_values=True)).get("versionId", [""])[0])
        _refuse_unreadable(source, request.headers)
        is_replaced = request.headers.get("x-amz-metadata-directive") == "REPLACE"
        told = request.headers if is_replaced else {**source.headers, **{name: v for name, v in request.headers.items() if name in SHOWN}}
        headers = {
            name: value for name, value in told.items() if (name in KEPT or name in SHOWN or _is_ours(name)) and "copy-source" not in name
        }
        headers.setdefault("content-type", "binary/octet-stream")
        tags = (
            _tags_of(request.headers.get("x-amz-tagging", ""))
            if request.headers.get("x-amz-tagging-directive") == "REPLACE"
            else source.tags
        )
        assert source.body is not None
        version = self._add(bucket, request.key, source.body, headers, tags)
        status, answered, body = _xml(
            f'<CopyObjectResult xmlns="{NAMESPACE}"><ETag>{escape(version.etag)}</ETag><LastModified>{_iso(version.made)}</LastModified></CopyObjectResult>'
        )
        return status, {**answered, **_named(version)}, body

    def _get(self, bucket: Bucket, request: Request) -> Answer:
        version = self._version(bucket, request.key, request.query.get("versionId", ""))
        _refuse_unreadable(version, request.headers, is_head=request.method == "HEAD")
        body = version.body or b""
        headers = {
            **version.headers,
            "etag": version.etag,
            "last-modified": _http_date(version.made),
            "accept-ranges": "bytes",
            **_named(version),
        }
        if version.tags:
            headers["x-amz-tagging-count"] = str(version.tags.count(b"<Tag>"))
        status = 200
        if (found := re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))) is not None:
            first, last = int(found[1]), min(int(found[2] or len(body) - 1), len(body) - 1)
            if first >= len(body):
                raise RefusedError(416, "InvalidRange")
            status, headers["content-range"], body = 206, f"bytes {first}-{last}/{len(body)}", body[first : last + 1]
        if request.method == "HEAD":
            headers["content-length"] = str(len(body))
            body = b""
        return status, headers, body

    def _delete(self, bucket: Bucket, request: Request) -> Answer:
        if wanted := request.query.get("versionId"):
            there = bucket.versions.get(request.key, [])
            gone = next((version for version in there if version.id == wanted), None)
            if gone is None:
                return 204, {}, b""
            there.remove(gone)
            if not there:
                del bucket.versions[request.key]
                bucket.keys.remove(request.key)
            return 204, {"x-amz-version-id": wanted, **({"x-amz-delete-marker": "true"} if gone.body is None else {})}, b""
        if bucket.versioning != "Enabled":
            if bucket.versions.pop(request.key, None):
                bucket.keys.remove(request.key)
            return 204, {}, b""
        marker = self._add(bucket, request.key, None, {}, b"")
        return 204, {"x-amz-delete-marker": "true", "x-amz-version-id": marker.id}, b""

    def _tagging(self, bucket: Bucket, request: Request) -> Answer:
        version = self._version(bucket, request.key, request.query.get("versionId", ""))
        if request.method == "PUT":
            version.tags = b"".join(re.findall(rb"<Tag>.*?</Tag>", request.body, re.DOTALL))
        elif request.method == "DELETE":
            version.tags = b""
        else:
            return 200, {"content-type": "application/xml"}, b"<Tagging><TagSet>" + version.tags + b"</TagSet></Tagging>"
        return 200, _named(version), b""

    def _version(self, bucket: Bucket, key: str, wanted: str) -> Version:
        there = bucket.versions.get(key, [])
        version = next((one for one in there if one.id == wanted), None) if wanted else there[0] if there else None
        if version is None:
            raise RefusedError(404, "NoSuchVersion" if wanted else "NoSuchKey")
        if version.body is None:
            raise RefusedError(405, "MethodNotAllowed") if wanted else RefusedError(404, "NoSuchKey")
        return version

    def _add(self, bucket: Bucket, key: str, body: bytes | None, headers: dict[str, str], tags: bytes) -> Version:
        is_versioned = bucket.versioning == "Enabled"
        # Ids that no one can guess the order of, as S3's: their order is that of the list alone.
        name = hashlib.sha256(b"%d" % next(self._numbers)).hexdigest()[:32] if is_versioned else "null"
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"' if body is not None else ""
        version = Version(name, self.now().replace(microsecond=0), body, headers, tags, etag)
        if key not in bucket.versions:
            insort(bucket.keys, key)
        there = bucket.versions.setdefault(key, [])
        if not is_versioned:
            there[:] = [one for one in there if one.id != "null"]
        there.insert(0, version)
        return version


def quote(text: str) -> str:
    return quote_plus(text, safe="/-_.*")


def _versions_after(bucket: Bucket, prefix: str, marker: str, version_marker: str) -> Iterator[tuple[str, int, Version]]:
    if marker and version_marker and marker in bucket.versions:
        ids = [one.id for one in bucket.versions[marker]]
        begin = ids.index(version_marker) + 1 if version_marker in ids else len(ids)
        for number, version in enumerate(bucket.versions[marker][begin:], start=begin):
            yield marker, number, version
    at = bisect_right(bucket.keys, marker) if marker and marker >= prefix else bisect_left(bucket.keys, prefix)
    while at < len(bucket.keys) and bucket.keys[at].startswith(prefix):
        key = bucket.keys[at]
        for number, version in enumerate(bucket.versions[key]):
            yield key, number, version
        at += 1


def _is_ours(name: str) -> bool:
    return name.startswith("x-amz-meta-") or name in {CUSTOMERS_KEY, "x-amz-website-redirect-location"}


def _refuse_unreadable(version: Version, headers: Mapping[str, str], *, is_head: bool = False) -> None:
    if version.headers.get(CUSTOMERS_KEY) and CUSTOMERS_KEY not in headers:
        raise RefusedError(400, "InvalidRequest")
    if version.headers.get("x-amz-storage-class") in ARCHIVED and not is_head:
        raise RefusedError(403, "InvalidObjectState")


def _tags_of(header: str) -> bytes:
    return "".join(
        f"<Tag><Key>{escape(key)}</Key><Value>{escape(values[0])}</Value></Tag>" for key, values in parse_qs(header).items()
    ).encode()


def _named(version: Version) -> dict[str, str]:
    return {"x-amz-version-id": version.id} if version.id != "null" else {}


def _about(version: Version) -> str:
    kind = version.headers.get("x-amz-storage-class", "STANDARD")
    said = f"<LastModified>{_iso(version.made)}</LastModified><ETag>{escape(version.etag)}</ETag>"
    return f"{said}<Size>{len(version.body or b'')}</Size><StorageClass>{kind}</StorageClass>"


def _entry(key: str, version: Version, *, is_latest: bool) -> str:
    said = f"<Key>{key}</Key><VersionId>{version.id}</VersionId><IsLatest>{str(is_latest).lower()}</IsLatest>"
    if version.body is None:
        return f"<DeleteMarker>{said}<LastModified>{_iso(version.made)}</LastModified></DeleteMarker>"
    return f"<Version>{said}{_about(version)}</Version>"


def _iso(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000Z"


def _http_date(moment: datetime) -> str:
    return f"{moment:%a, %d %b %Y %H:%M:%S} GMT"


def _xml(text: str) -> Answer:
    return 200, {"content-type": "application/xml"}, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode()


def _unchunked(body: bytes) -> bytes:
    """Return what was sent in signed pieces, as restic does where there is no TLS."""
    pieces: list[bytes] = []
    while body:
        head, _, body = body.partition(b"\r\n")
        length = int(head.partition(b";")[0], 16)
        if not length:
            break
        pieces.append(body[:length])
        body = body[length + 2 :]
    return b"".join(pieces)


class Connection(asyncio.Protocol):
    """One client: requests one after the other."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._got = b""
        self._head: tuple[str, str, dict[str, str]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        while self._answer_one():
            pass

    def _answer_one(self) -> bool:
        if self._head is None:
            head, found, rest = self._got.partition(b"\r\n\r\n")
            if not found:
                return False
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            method, target = first.split(" ", 2)[:2]
            self._head, self._got = (method, target, headers), rest
            if headers.get("expect", "").lower() == "100-continue":
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        method, target, headers = self._head
        length = int(headers.get("content-length", 0))
        if len(self._got) < length:
            return False
        body, self._got, self._head = self._got[:length], self._got[length:], None
        if headers.get("x-amz-content-sha256", "").startswith("STREAMING"):
            body = _unchunked(body)
            if headers.get("content-encoding", "").startswith("aws-chunked"):
                headers["content-encoding"] = headers["content-encoding"].removeprefix("aws-chunked").lstrip(",")
                headers = {name: value for name, value in headers.items() if name != "content-encoding" or value}
        self._send(*self._store.answer(_request(method, target, headers, body)), is_head=method == "HEAD")
        return True

    def _send(self, status: int, headers: Mapping[str, str], body: bytes, *, is_head: bool) -> None:
        own = {
            "date": _http_date(self._store.now()),
            "server": "memory",
            **({} if "content-length" in headers else {"content-length": str(len(body))}),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **own}.items())
        self._transport.write(
            f"HTTP/1.1 {status} -\r\n{lines}\r\n".encode("latin-1", "replace") + (b"" if is_head or status == 204 else body)
        )


def _request(method: str, target: str, headers: dict[str, str], body: bytes) -> Request:
    path, _, query = target.partition("?")
    bucket, _, key = path.lstrip("/").partition("/")
    values = {name: found[-1] for name, found in parse_qs(query, keep_blank_values=True).items()}
    values = {name: value for name, value in values.items() if not name.startswith("X-Amz-") and name != "x-id"}
    return Request(method, unquote(bucket), unquote(key), values, headers, body)


async def serve(clock: Path) -> None:
    """Serve until standard input ends."""
    store, loop = Store(clock), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store), "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]) / "clock"))
