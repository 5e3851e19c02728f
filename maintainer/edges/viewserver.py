"""The view over restic's own REST protocol (restic's doc/REST_backend.rst, version 2), on a unix socket that one user can reach."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol, Self

from maintainer.core.errors import MaintainerError
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import View
from maintainer.edges.lazy import LazyModule
from maintainer.edges.scratch import Scratch

if TYPE_CHECKING:
    from aiohttp import web
else:
    web = LazyModule("aiohttp.web")

LIST_TYPE = "application/vnd.x.restic.rest.v2"
CONTENT = frozenset({FileType.PACK, FileType.INDEX, FileType.SNAPSHOT})
LONGEST_LOCK = 64 << 10
LONGEST_POST = 256 << 20
"""Bytes: restic's largest pack has 128 MiB, and may exceed that by a blob."""
LISTED_AT_ONCE = 5_000
SCRATCH = "scratch"
"""The version id of what is held in memory."""
RELAYED = 16 << 20
"""Bytes of an index or a snapshot that are held whole, to be relayed: of larger ones a piece is."""
PIECE = 8 << 20
"""Bytes of a pack that are held at a time, for each of restic's connections."""
WHOLE_KEPT = 4
"""How many whole versions a relay keeps: restic reads a pack's header and then its parts."""
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")
_ID = re.compile(r"[0-9a-f]{64}")


class ViewStore(Protocol):
    """What the server needs of the bucket."""

    def url(self, version: ObjectVersion) -> str:
        """Return a presigned URL of exactly this version."""

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        """Return a version's content; ValueError if it is larger than `limit`."""

    def save(self, version: ObjectVersion, limit: int, file: BinaryIO) -> None:
        """Write a version's content into a file; ValueError if it is larger than `limit`."""

    def read_part(self, version: ObjectVersion, start: int, end: int) -> bytes:
        """Return a version's bytes from `start` to before `end`."""

    def put(self, key: str, body: bytes) -> ObjectVersion:
        """Put an object."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the view lets restic do, with which kinds. `announce` is called with a file before it is put into the bucket."""

    write: bool = False
    delete: bool = False
    kinds: AbstractSet[FileType] = CONTENT
    announce: Callable[[RepositoryFile], None] = lambda _: None


class ViewServer(AbstractContextManager["ViewServer"]):
    """Serves one view while the context lasts. `address` is what restic takes with -r."""

    def __init__(
        self, view: View, store: ViewStore, permissions: Permissions, *, redirect: bool, scratch: dict[str, bytes] | None = None
    ) -> None:
        """Serve `view`. With `scratch`, objects of these keys are held there: what restic writes goes into it and not into the bucket."""
        self.view = view
        self._scratch = scratch
        self._store = store
        self._permissions = permissions
        self._redirect = redirect
        self._whole: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._directory = Scratch()
        self._socket = self._directory.path / "s"
        self.address = f"rest:http+unix://{self._socket}:/"
        self.failures: list[str] = []
        self.sent: ObjectVersion | None = None
        """The version that restic was sent to last, by a redirect."""
        self.packs_read = (0, 0)
        """How many packs restic has asked for whole since `count_packs`, and their bytes: a check does so once for each."""

    def __enter__(self) -> Self:
        """Start serving, in a thread of its own."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="view", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(30)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop serving; the socket goes."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()
        self._directory.close()

    def count_packs(self) -> None:
        """Begin to count packs anew. Not while a restic is at work."""
        self.packs_read = (0, 0)

    async def _start(self) -> None:
        application = web.Application(client_max_size=LONGEST_POST)
        kind = r"{kind:data|index|snapshots|keys|locks}"
        application.add_routes(
            [
                web.get("/config", self._get),
                web.post("/config", self._refuse),
                web.post("/", self._refuse),
                web.get(f"/{kind}/", self._list),
                web.get(f"/{kind}/{{name}}", self._get),
                web.post(f"/{kind}/{{name}}", self._post),
                web.delete(f"/{kind}/{{name}}", self._delete),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self._socket)).start()
        self._socket.chmod(0o600)

    async def _refuse(self, _: web.Request) -> web.Response:
        return web.Response(status=403)  # restic repeats a 5xx for a quarter of an hour; 403 is final

    async def _list(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": LIST_TYPE})
        await answer.prepare(request)
        begin = b"["
        listing = self.view.listing(FileType(request.match_info["kind"]))
        while part := list(islice(listing, LISTED_AT_ONCE)):
            # Names are in hex: nothing in them needs JSON's escapes.
            await answer.write(begin + ",".join([f'{{"name":"{name}","size":{size}}}' for name, size in part]).encode())
            begin = b","
        await answer.write(b"[]" if begin == b"[" else b"]")
        return answer

    async def _get(self, request: web.Request) -> web.StreamResponse:
        file = _file(request)
        if file is None:
            return web.Response(status=404)
        if file.type is FileType.LOCK:
            body = self.view.read_lock(file.id)
            return web.Response(status=404) if body is None else _part(request, body)
        version = self.view.find(file)
        if version is None:
            return web.Response(status=404)
        if self._scratch is not None and version.version_id == SCRATCH:
            return _part(request, self._scratch[version.key])
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": str(version.size)})
        if file.type is FileType.PACK:
            if _is_whole(request, version.size):
                self.packs_read = (self.packs_read[0] + 1, self.packs_read[1] + version.size)
            if self._redirect:
                self.sent = version
                return web.Response(status=307, headers={"Location": self._store.url(version)})
            return await self._stream(request, version)
        if version.size > RELAYED:
            return await self._stream(request, version)
        return await self._relay(request, version)

    async def _stream(self, request: web.Request, version: ObjectVersion) -> web.StreamResponse:
        """Hand out the bytes of a pack that are asked for, of which no more is held than a piece."""
        span = _span(request, version.size)
        if span is None:
            return web.Response(status=416)
        start, end = span
        is_part = "Range" in request.headers
        headers = {"Content-Length": str(end - start)}
        if is_part:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{version.size}"
        answer = web.StreamResponse(status=206 if is_part else 200, headers=headers)
        for at in range(start, end, PIECE):
            try:
                piece = await asyncio.to_thread(self._store.read_part, version, at, min(at + PIECE, end))
                if len(piece) != min(at + PIECE, end) - at:
                    raise ValueError(f"{version.key} has fewer bytes than {version.size}")
            except (MaintainerError, ValueError) as error:
                failed = self._fail(error)
                if not answer.prepared:
                    return failed
                raise ConnectionResetError("the store failed in the middle of a pack") from error  # restic asks again
            if not answer.prepared:
                await answer.prepare(request)
            await answer.write(piece)
        if not answer.prepared:
            await answer.prepare(request)
        return answer

    async def _relay(self, request: web.Request, version: ObjectVersion) -> web.StreamResponse:
        ref = (version.key, version.version_id)
        body = self._whole.get(ref)
        if body is None:
            try:
                body = await asyncio.to_thread(self._store.read, version, version.size)
            except (MaintainerError, ValueError) as error:
                return self._fail(error)
            self._whole[ref] = body
            while len(self._whole) > WHOLE_KEPT:
                self._whole.popitem(last=False)
        return _part(request, body)

    async def _post(self, request: web.Request) -> web.Response:
        file = _file(request)
        if file is None:
            return web.Response(status=403)
        body = await request.read()
        if file.type is FileType.LOCK:
            if len(body) > LONGEST_LOCK:
                return web.Response(status=403)
            self.view.lock(file.id, body)
            return web.Response()
        if not self._permissions.write or file.type not in self._permissions.kinds:
            return web.Response(status=403)
        if hashlib.sha256(body).hexdigest() != file.id:
            return web.Response(status=400)
        if self.view.find(file) is not None:
            return web.Response()
        if self._scratch is not None:
            self._scratch[file.key()] = body
            self.view.wrote(file, scratch_version(file.key(), body))
            return web.Response()
        try:
            await asyncio.to_thread(self._permissions.announce, file)
            version = await asyncio.to_thread(self._store.put, file.key(), body)
        except MaintainerError as error:
            return self._fail(error)
        self.view.wrote(file, version)
        return web.Response()

    async def _delete(self, request: web.Request) -> web.Response:
        file = _file(request)
        if file is None:
            return web.Response(status=403)
        if file.type is FileType.LOCK:
            return web.Response(status=200 if self.view.unlock(file.id) else 404)
        if not self._permissions.delete or file.type not in self._permissions.kinds:
            return web.Response(status=403)
        return web.Response(status=200 if self.view.delete(file) else 404)

    def _fail(self, error: Exception) -> web.Response:
        self.failures.append(str(error))
        return web.Response(status=403)


def scratch_version(key: str, body: bytes) -> ObjectVersion:
    """Return the version by which a view shows what is held in scratch."""
    return ObjectVersion(key, SCRATCH, is_marker=False, size=len(body), last_modified=datetime.min.replace(tzinfo=UTC))


def _file(request: web.Request) -> RepositoryFile | None:
    kind, name = request.match_info.get("kind"), request.match_info.get("name", "")
    if kind is None:
        return RepositoryFile(FileType.CONFIG, "")
    return RepositoryFile(FileType(kind), name) if _ID.fullmatch(name) else None


def _is_whole(request: web.Request, size: int) -> bool:
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    return found is None or (found[1] == "0" and found[2] in ("", str(size - 1)))


def _span(request: web.Request, size: int) -> tuple[int, int] | None:
    """Return from where to before where bytes are asked for; None where none of these is there."""
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None:
        return 0, size
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    return None if first >= size or last < first else (first, min(last + 1, size))


def _part(request: web.Request, body: bytes) -> web.Response:
    span = _span(request, len(body))
    if span is None:
        return web.Response(status=416)
    start, end = span
    if "Range" not in request.headers:
        return web.Response(body=body)
    return web.Response(status=206, body=body[start:end], headers={"Content-Range": f"bytes {start}-{end - 1}/{len(body)}"})
