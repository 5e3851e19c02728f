"""A versioned bucket in memory: the object store's fake, held to the real one's contract suite."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from maintainer.core.versions import KeyHistory, Look, ObjectVersion

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeStore:
    """Keys hold versions, newest first. `now` is the store's own clock; `looked` what was hashed, in order."""

    now: datetime = WHEN
    versions: dict[str, list[ObjectVersion]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)
    _made: int = 0

    def survey(self, folder: str = "") -> Iterator[ObjectVersion]:
        for key in sorted(self.versions):
            yield from list(self.versions[key]) if key.startswith(folder) else ()

    def histories(self) -> dict[str, KeyHistory]:
        return {key: KeyHistory(key, tuple(self.versions[key])) for key in sorted(self.versions)}

    def put(self, key: str, body: bytes, *, header: str = "", unreadable: str = "") -> ObjectVersion:
        version = self._add(key, body)
        if header:
            self.headers[version.version_id] = header
        if unreadable:
            self.unreadable[version.version_id] = unreadable
        return version

    def _add(self, key: str, body: bytes | None) -> ObjectVersion:
        self._made += 1
        version = ObjectVersion(key, f"v{self._made:06d}", body is None, len(body or b""), self.now)
        self.versions.setdefault(key, []).insert(0, version)
        if body is not None:
            self.contents[version.version_id] = body
        return version

    def mark(self, key: str) -> str:
        return self._add(key, None).version_id

    def heal(self, source: ObjectVersion, digest: str) -> ObjectVersion:
        assert hashlib.sha256(self.contents[source.version_id]).hexdigest() == digest
        return self._add(source.key, self.contents[source.version_id])

    def look(self, version: ObjectVersion) -> Look:
        self.looked.append(version.version_id)
        if why := self.unreadable.get(version.version_id):
            return Look(None, plain=False, why=why)
        header = self.headers.get(version.version_id, "")
        return Look(hashlib.sha256(self.contents[version.version_id]).hexdigest(), plain=not header, why=header)

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        body = self.contents[version.version_id]
        if len(body) > limit:
            raise ValueError(f"{version.key} holds more than {limit} bytes")
        return body

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)
