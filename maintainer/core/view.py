"""The view: what restic is shown of a repository. Admitted objects, plus what was written through it, less what was deleted in it."""

from __future__ import annotations

from collections.abc import Mapping

from maintainer.core.repofiles import FileType, RepositoryFile, parse_key
from maintainer.core.versions import ObjectVersion


class View:
    """An overlay without I/O: a pure state machine, for one restic at a time or several.

    Deletions are recorded, never done; locks live here alone. Mutable, since an immutable overlay of a million packs would copy itself
    on every write.
    """

    def __init__(self, shown: Mapping[str, ObjectVersion]) -> None:
        """Show these versions, by key below the prefix; keys that are no repository's are left out."""
        self._shown: dict[FileType, dict[str, ObjectVersion]] = {kind: {} for kind in FileType}
        for key, version in shown.items():
            if (file := parse_key(key)) is not None and file.type is not FileType.LOCK:
                self._shown[file.type][file.id] = version
        self._locks: dict[str, bytes] = {}
        self.written: dict[str, ObjectVersion] = {}
        self.deleted: dict[str, ObjectVersion] = {}

    def find(self, file: RepositoryFile) -> ObjectVersion | None:
        """Return the version that stands for a file, or None."""
        return self._shown[file.type].get(file.id)

    def listing(self, kind: FileType) -> list[tuple[str, int]]:
        """Return (name, size in bytes) of every file of a kind."""
        if kind is FileType.LOCK:
            return [(name, len(body)) for name, body in self._locks.items()]
        return [(name, version.size) for name, version in self._shown[kind].items()]

    def wrote(self, file: RepositoryFile, version: ObjectVersion) -> None:
        """Show what was put into the bucket through the view."""
        self._shown[file.type][file.id] = version
        self.written[file.key()] = version

    def delete(self, file: RepositoryFile) -> bool:
        """Hide a file and record that it was deleted; return whether it was there."""
        version = self._shown[file.type].pop(file.id, None)
        if version is None:
            return False
        self.deleted[file.key()] = version
        return True

    def lock(self, name: str, body: bytes) -> None:
        """Hold a lock in memory."""
        self._locks[name] = body

    def read_lock(self, name: str) -> bytes | None:
        """Return a lock's content."""
        return self._locks.get(name)

    def unlock(self, name: str) -> bool:
        """Drop a lock; return whether it was there."""
        return self._locks.pop(name, None) is not None

    def standing(self) -> dict[str, ObjectVersion]:
        """Return all that the view shows now, by key: what the next view starts from."""
        return {RepositoryFile(kind, name).key(): version for kind, files in self._shown.items() for name, version in files.items()}
