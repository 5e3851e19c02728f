"""Files of a repository that lie: well-formed, authentic under its key, and not what an honest restic writes (restic's design document)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import zstandard

from maintainer.core.moments import to_text
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.format.crypto import COMPRESSED, MasterKey, decrypt, derive, encrypt
from maintainer.format.files import parse_key

PLAIN_TYPE = {"data": 0, "tree": 1}
COMPRESSED_DATA = 2
IV_BYTES = 16


@dataclass(frozen=True, slots=True)
class Blob:
    """One blob of a pack, under the id that it claims, which honest ones hash to."""

    id: str
    type: str
    offset: int
    length: int

    def entry(self) -> dict[str, Any]:
        """Return the blob as an index names it."""
        return {"id": self.id, "type": self.type, "offset": self.offset, "length": self.length}


@dataclass(frozen=True, slots=True)
class Forged:
    """A file under its own true hash. `blobs` are those of a pack."""

    key: str
    body: bytes = field(repr=False)
    blobs: tuple[Blob, ...] = ()

    @property
    def id(self) -> str:
        """Return the file's id."""
        return self.key.rpartition("/")[2]


def forged(kind: FileType, body: bytes, blobs: tuple[Blob, ...] = ()) -> Forged:
    """Return content under the name that it hashes to."""
    return Forged(RepositoryFile(kind, hashlib.sha256(body).hexdigest()).key(), body, blobs)


def compact(raw: Any) -> bytes:
    """Write JSON as Go does: without a space."""
    return json.dumps(raw, separators=(",", ":")).encode()


def seal(key: MasterKey, plain: bytes) -> bytes:
    """Encrypt as restic does, under a fresh nonce."""
    return encrypt(key, plain, os.urandom(IV_BYTES))


def pack(key: MasterKey, contents: Iterable[tuple[str, bytes, str]]) -> Forged:
    """Return a pack of (type, content, id) blobs: an empty id means the true one. The header opens, whatever the ids claim."""
    body = bytearray()
    header = bytearray()
    blobs: list[Blob] = []
    for kind, content, claimed in contents:
        sealed = seal(key, content)
        blob = Blob(claimed or hashlib.sha256(content).hexdigest(), kind, len(body), len(sealed))
        blobs.append(blob)
        body += sealed
        header += struct.pack("<BI32s", PLAIN_TYPE[kind], len(sealed), bytes.fromhex(blob.id))
    end = seal(key, bytes(header))
    return forged(FileType.PACK, bytes(body + end + struct.pack("<I", len(end))), tuple(blobs))


def index(key: MasterKey, packs: Mapping[str, Iterable[Blob]]) -> Forged:
    """Return an index that says these packs hold these blobs."""
    listed = [{"id": name, "blobs": [blob.entry() for blob in blobs]} for name, blobs in packs.items()]
    return forged(FileType.INDEX, seal(key, compact({"packs": listed})))


def tree(nodes: Iterable[Mapping[str, Any]] = ()) -> bytes:
    """Return a tree's content, as restic writes it: with a newline at its end."""
    return compact({"nodes": list(nodes)}) + b"\n"


def snapshot(
    key: MasterKey, *, time: datetime, host: str, paths: Iterable[str], tree: str, more: Mapping[str, Any] | None = None
) -> Forged:
    """Return a snapshot over a tree. `more` are further fields: a summary, tags, a parent."""
    raw = {"time": to_text(time), "tree": tree, "paths": list(paths), "hostname": host, "username": "root", **(more or {})}
    return forged(FileType.SNAPSHOT, seal(key, compact(raw)))


def bomb_pack(key: MasterKey, inflated: int) -> Forged:
    """Return a pack of one data blob, of some kilobytes, that inflates to so many bytes; its header says a thousand."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    zeros = bytes(1 << 20)
    body = b"".join(compressor.compress(zeros) for _ in range(inflated >> 20)) + compressor.flush()
    sealed = seal(key, body)
    end = seal(key, struct.pack("<BII32s", COMPRESSED_DATA, len(sealed), 1000, os.urandom(32)))
    return forged(FileType.PACK, sealed + end + struct.pack("<I", len(end)))


def bomb(key: MasterKey, kind: FileType, inflated: int) -> Forged:
    """Return an authentic compressed file, of some kilobytes, that inflates to so many bytes of JSON, sound to its end."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    start = b'{"packs":[' if kind is FileType.INDEX else b'{"time":"2026-01-01T00:00:00Z","hostname":"'
    more = b'{"id":"%b","blobs":[]},' % (b"a" * 64) * (1 << 14) if kind is FileType.INDEX else b"a" * (1 << 20)
    body = bytearray([COMPRESSED]) + compressor.compress(start)
    for _ in range(inflated // len(more)):
        body += compressor.compress(more)
    body += compressor.compress(b"null]}" if kind is FileType.INDEX else b'"}') + compressor.flush()
    return forged(kind, seal(key, bytes(body)))


def key_file(password: str, master: MasterKey, **more: Any) -> Forged:
    """Return a sound key file that costs nothing to open; `more` are fields of its own, or other than they should be."""
    salt = os.urandom(64)
    mac = {"k": base64.b64encode(master.mac_k).decode(), "r": base64.b64encode(master.mac_r).decode()}
    plain = compact({"mac": mac, "encrypt": base64.b64encode(master.encrypt).decode()})
    sealed = seal(derive(password, salt, n=2, r=1, p=1), plain)
    raw = {"kdf": "scrypt", "N": 2, "r": 1, "p": 1, "salt": base64.b64encode(salt).decode(), "data": base64.b64encode(sealed).decode()}
    return forged(FileType.KEY, json.dumps({"username": "root", "hostname": "web1", **raw, **more}).encode())


def cheaper_key(body: bytes, password: str, *, n: int = 1024) -> bytes:
    """Return a key file for the same master key that costs next to nothing to open; restic takes it as its own."""
    raw = json.loads(body)
    old = parse_key(body)
    user = derive(password, old.salt, n=old.n, r=old.r, p=old.p)
    plain = decrypt(user, old.sealed)
    raw |= {"N": n, "r": 8, "p": 1}
    raw["data"] = base64.b64encode(seal(derive(password, old.salt, n=n, r=8, p=1), plain)).decode()
    return json.dumps(raw).encode()
