"""Hostile objects by the hundred, chosen by a seed: whatever somebody with a host's keys and the repository's password can put in its place.

Each is what restic's grammar allows or nearly allows (tests.support.grammar), sealed under the repository's key or not, under its own true
hash or over somebody else's name. The same seed gives the same objects, but for what is random in sealing.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import zstandard

from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.drill import forge
from maintainer.drill.target import Target
from maintainer.format.crypto import COMPRESSED, MasterKey
from tests.support.grammar import FIELDS, ODD, TIMES

Put = tuple[str, bytes, Mapping[str, Any]]
"""A key, a body, and headers."""
FOLDERS = {"snapshot": FileType.SNAPSHOT, "index": FileType.INDEX, "lock": FileType.LOCK, "key": FileType.KEY}


class Hostile:
    """Makes objects for one repository."""

    def __init__(self, target: Target, seed: int) -> None:
        self._target = target
        self._random = random.Random(seed)
        self._key = target.master_key()
        self._names = target.objects()

    def puts(self, number: int) -> Iterator[Put]:
        """Yield so many objects."""
        makers: list[Callable[[], Put]] = [self._file, self._file, self._file, self._pack, self._over, self._name, self._tree]
        for _ in range(number):
            key, body, headers = self._random.choice(makers)()
            yield key, body, headers or self._headers()

    def _headers(self) -> Mapping[str, Any]:
        odd: list[Mapping[str, Any]] = [{"Metadata": {"x": "y"}}, {"ContentType": "text/plain"}, {"ContentEncoding": "gzip"}]
        return self._random.choice(odd) if self._random.random() < 0.1 else {}

    def _value(self) -> str:
        r = self._random
        huge = f'"{"y" * r.randrange(1, 200_000)}"'
        many = "[" + ",".join(['"z"'] * r.randrange(1, 20_000)) + "]"
        return r.choice([*ODD, *map(json.dumps, TIMES), huge, many, json.dumps(self._id()), str(r.randrange(1 << 40))])

    def _id(self) -> str:
        """Return the id of a file or blob that is there, or of none."""
        name = self._random.choice(self._names).rpartition("/")[2]
        return name if len(name) == 64 and self._random.random() < 0.7 else self._random.randbytes(32).hex()

    def _json(self, kind: str) -> bytes:
        r = self._random
        fields = {name: json.dumps(value, separators=(",", ":")) for name, value in FIELDS[kind].items()}
        for name in r.sample(sorted(fields), min(len(fields), r.randrange(3))):
            fields[name] = self._value()
        if r.random() < 0.2:
            fields.pop(r.choice(sorted(fields)))
        if kind == "index" and r.random() < 0.7:
            fields["packs"] = self._packs()
        if kind == "snapshot" and r.random() < 0.7:
            fields["tree"] = json.dumps(self._id())
        text = ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items()) + "}").encode()
        if r.random() < 0.15:
            at = r.randrange(len(text))
            text = text[:at] + r.choice([b"", r.randbytes(3), text[at : at + 20] * 3]) + text[at + r.randrange(3) :]
        return text

    def _packs(self) -> str:
        r = self._random
        packs = []
        for _ in range(r.choice([0, 1, 3, 200])):
            blobs = [
                {
                    "id": self._id(),
                    "type": r.choice(["data", "tree"]),
                    "offset": r.randrange(1 << 33),
                    "length": r.choice([0, 5, 40, 1 << 33]),
                }
                for _ in range(r.choice([0, 1, 5]))
            ]
            packs.append({"id": self._id(), "blobs": blobs})
        return json.dumps(packs, separators=(",", ":"))

    def _sealed(self, plain: bytes) -> bytes:
        r = self._random
        if r.random() < 0.3:
            frame = zstandard.ZstdCompressor(level=r.choice([1, 3]), write_content_size=r.random() < 0.5).compress(plain)
            plain = bytes([r.choice([COMPRESSED, COMPRESSED, 3])]) + (frame if r.random() < 0.8 else frame[: len(frame) // 2])
        key = self._key if r.random() < 0.9 else MasterKey(b"e" * 32, b"k" * 16, b"r" * 16)
        return forge.seal(key, plain) if r.random() < 0.95 else r.randbytes(r.randrange(100))

    def _file(self) -> Put:
        kind = self._random.choice(sorted(FOLDERS))
        plain = self._json(kind)
        body = plain if kind == "key" else self._sealed(plain)
        return RepositoryFile(FOLDERS[kind], hashlib.sha256(body).hexdigest()).key(), body, {}

    def _pack(self) -> Put:
        r = self._random
        body = bytearray()
        header = bytearray()
        for _ in range(r.choice([0, 1, 2, 50, 2_000])):
            content = r.choice([b"", os.urandom(r.randrange(1, 300)), self._json("tree")])
            sealed = self._sealed(content)
            length = r.choice([len(sealed)] * 4 + [0, 31, (1 << 32) - 1])
            kind = r.choice([0, 0, 1, 2, 3, 9])
            true = hashlib.sha256(content).digest()
            name = true if r.random() < 0.6 else bytes.fromhex(self._id())
            header += struct.pack("<BI", kind, length) + (struct.pack("<I", r.randrange(1 << 32)) if kind in (2, 3) else b"") + name
            body += sealed
        end = self._sealed(bytes(header)) if r.random() < 0.3 else forge.seal(self._key, bytes(header))
        body += end + struct.pack("<I", r.choice([len(end)] * 5 + [0, 1 << 31, len(end) - 1]))
        return RepositoryFile(FileType.PACK, hashlib.sha256(body).hexdigest()).key(), bytes(body), {}

    def _tree(self) -> Put:
        """A true pack of one tree, so that a snapshot may name it: its nodes are anything."""
        content = self._json("tree")
        made = forge.pack(self._key, [("tree", content, "")])
        self._names.append(f"snapshots/{made.blobs[0].id}")
        return made.key, made.body, {}

    def _over(self) -> Put:
        """Something over what is there."""
        r = self._random
        key = r.choice(self._names)
        body = r.choice([b"", r.randbytes(r.randrange(1, 5_000)), self._sealed(self._json(r.choice(sorted(FIELDS))))])
        return key, body, {}

    def _name(self) -> Put:
        """A name that restic would not give."""
        r = self._random
        odd = [
            f"data/{r.randbytes(32).hex()}",
            f"snapshots/{r.randbytes(31).hex()}",
            f"maintainer/{r.randbytes(32).hex()}",
            f"maintainer/{hashlib.sha256(b'x').hexdigest()}",
            "x" * r.randrange(1, 600),
            "config/",
            f"index/{r.randbytes(32).hex().upper()}",
            "a\tb\u202e\U0001f600",
        ]
        return r.choice(odd), b"x", {}
