"""Small files of a repository, fetched once and kept on disk for as long as a run lasts.

Every restic command of a run reads every index and snapshot, and so does admission: from the bucket that would be the same
bytes five times over, a round trip each.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from maintainer.core.versions import ObjectVersion
from maintainer.edges.scratch import Scratch
from maintainer.edges.viewserver import ViewStore

IN_MEMORY = 8 << 20
"""Bytes of a file that may be opened in memory, where it is not on disk."""
MOST_KEPT = 512 << 20
"""Bytes. The indexes of a terabyte or two; and no more, because a host chooses how much there is, and /tmp may be memory."""


class KeptFiles:
    """A store whose reads are kept in a directory of its own, that only this user can read and that goes with the object.

    A version never changes, so what was read under its id stays right. Packs are no small files: `read` is not for them.
    """

    def __init__(self, store: ViewStore) -> None:
        """Keep nothing yet."""
        self._store = store
        self._scratch = Scratch()
        self._left = MOST_KEPT
        self._lock = threading.Lock()

    def url(self, version: ObjectVersion) -> str:
        """Return the store's presigned URL."""
        return self._store.url(version)

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        """Return a version's content; ValueError if it is larger than `limit`, StoreError if it can not be read."""
        kept = self._path(version)
        if version.size <= limit and kept.exists():
            return kept.read_bytes()
        body = self._store.read(version, limit)
        with self._lock:
            self._left -= len(body)
            if self._left < 0:
                self._left += len(body)
                return body
        unfinished = kept.with_suffix(f".{secrets.token_hex(4)}")
        try:
            unfinished.write_bytes(body)
            unfinished.rename(kept)
        except OSError:  # a full disk costs round trips, and no run
            with suppress(OSError):
                unfinished.unlink()
        return body

    @contextmanager
    def open(self, version: ObjectVersion, limit: int) -> Iterator[BinaryIO]:
        """Open a version's content as a file, of which nothing is held in memory; what there is no room to keep goes with the block.

        ValueError if it is larger than `limit`, StoreError if it can not be read.
        """
        kept = self._path(version)
        if not kept.exists() and version.size <= IN_MEMORY:
            yield BytesIO(self.read(version, limit))
            return
        if not kept.exists():
            with self._fetched(version, limit) as file:
                yield file
            return
        with kept.open("rb") as file:
            yield file

    @contextmanager
    def _fetched(self, version: ObjectVersion, limit: int) -> Iterator[BinaryIO]:
        unfinished = self._path(version).with_suffix(f".{secrets.token_hex(4)}")
        with unfinished.open("w+b") as file:
            try:
                self._store.save(version, limit, file)
                with self._lock:
                    is_kept = self._left >= version.size
                    self._left -= version.size if is_kept else 0
                if is_kept:
                    unfinished.rename(self._path(version))
            finally:
                unfinished.unlink(missing_ok=True)  # an open file stays until it is closed
            file.seek(0)
            yield file

    def _path(self, version: ObjectVersion) -> Path:
        return self._scratch.path / hashlib.sha256(f"{version.key}\n{version.version_id}".encode()).hexdigest()

    def save(self, version: ObjectVersion, limit: int, file: BinaryIO) -> None:
        """Write a version's content into a file."""
        self._store.save(version, limit, file)

    def read_part(self, version: ObjectVersion, start: int, end: int) -> bytes:
        """Return some of a version's bytes, as the store has them: of packs nothing is kept."""
        kept = self._path(version)
        if kept.exists():
            with kept.open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        return self._store.read_part(version, start, end)

    def put(self, key: str, body: bytes) -> ObjectVersion:
        """Put an object into the store."""
        return self._store.put(key, body)
