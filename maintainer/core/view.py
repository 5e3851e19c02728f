"""The view: what restic is shown of a repository. Admitted objects, plus what was written through it, less what was deleted in it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping

from maintainer.core.records import Records, State
from maintainer.core.repofiles import FileType, RepositoryFile, parse_key
from maintainer.core.revert import Truth
from maintainer.core.versions import ObjectVersion


class Shown(Mapping[str, ObjectVersion]):
    """Versions by key below the prefix, however many: those of a folder are found without a look at the others."""

    @abstractmethod
    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield those whose key begins with `folder`, or all."""

    def sizes(self, folder: str) -> Iterator[tuple[str, int]]:
        """Yield the keys that begin with `folder`, with their sizes in bytes."""
        return ((key, version.size) for key, version in self.below(folder))

    def __iter__(self) -> Iterator[str]:
        """Yield the keys."""
        return (key for key, _ in self.below())

    def __len__(self) -> int:
        """Count them, one by one."""
        return sum(1 for _ in self.below())


class Few(dict[str, ObjectVersion], Shown):
    """As many as are held in memory."""

    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield some of them."""
        return iter([(key, version) for key, version in self.items() if key.startswith(folder)])


class Admitted(Shown):
    """What records admit of some kinds, where a true version of it stands; looked up when it is asked for, and as it is then."""

    def __init__(self, records: Records, standing: Mapping[str, Truth], kinds: Iterable[FileType]) -> None:
        self._records = records
        self._standing = standing
        self._folders = tuple(kind.value for kind in kinds)

    def __getitem__(self, key: str) -> ObjectVersion:
        """Return a version; KeyError for what is not of these kinds, not admitted, or does not stand."""
        if not key.startswith(self._folders) or self._records.state_of(key) is not State.ADMITTED:
            raise KeyError(key)
        return self._standing[key].version

    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield some of them."""
        for kind in self._folders:
            if kind.startswith(folder) or folder.startswith(kind):
                for key in self._records.keys_in(max(kind, folder, key=len), State.ADMITTED):
                    if (truth := self._standing.get(key)) is not None:
                        yield key, truth.version


class Standing(Shown):
    """Whatever stands of some kinds, admitted or not."""

    def __init__(self, standing: Mapping[str, Truth], kinds: Iterable[FileType]) -> None:
        self._standing = standing
        self._folders = tuple(kind.value if kind is FileType.CONFIG else f"{kind.value}/" for kind in kinds)

    def __getitem__(self, key: str) -> ObjectVersion:
        """Return a version; KeyError for what is not of these kinds, or does not stand."""
        if not key.startswith(self._folders):
            raise KeyError(key)
        return self._standing[key].version

    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield some of them."""
        return ((key, one.version) for key, one in self._standing.items() if key.startswith(folder) and key.startswith(self._folders))


class Layers(Shown):
    """Several, one over the other: of a key that more than one has, the first one's version is shown."""

    def __init__(self, *layers: Mapping[str, ObjectVersion]) -> None:
        self._layers = tuple(map(shown, layers))

    def __getitem__(self, key: str) -> ObjectVersion:
        """Return the uppermost version; KeyError where there is none."""
        for layer in self._layers:
            if (version := layer.get(key)) is not None:
                return version
        raise KeyError(key)

    def below(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield some of them, layer by layer."""
        for number, layer in enumerate(self._layers):
            over = self._layers[:number]
            yield from ((key, version) for key, version in layer.below(folder) if not any(key in one for one in over))


def shown(versions: Mapping[str, ObjectVersion]) -> Shown:
    """Return versions as they are, or, of a plain mapping, as those that are held in memory."""
    return versions if isinstance(versions, Shown) else Few(versions)


class View:
    """An overlay without I/O: a pure state machine, for one restic at a time or several.

    Deletions are recorded, never done; locks live here alone. Mutable, since an immutable overlay would copy itself on every write.
    """

    def __init__(self, versions: Mapping[str, ObjectVersion], hidden: Iterable[str] = ()) -> None:
        """Show these versions, by key below the prefix, but for the keys that are `hidden`. They must not change meanwhile."""
        self._base = shown(versions)
        self._over: dict[str, ObjectVersion] = {}
        self._gone = set(hidden)
        self._locks: dict[str, bytes] = {}
        self.written: dict[str, ObjectVersion] = {}
        self.deleted: dict[str, ObjectVersion] = {}

    def find(self, file: RepositoryFile) -> ObjectVersion | None:
        """Return the version that stands for a file, or None."""
        return self._find(file.key()) if file.type is not FileType.LOCK else None

    def _find(self, key: str) -> ObjectVersion | None:
        if (version := self._over.get(key)) is not None:
            return version
        return None if key in self._gone else self._base.get(key)

    def shows(self, key: str) -> bool:
        """Tell whether a key is shown."""
        return self._find(key) is not None

    def listing(self, kind: FileType) -> Iterator[tuple[str, int]]:
        """Yield (name, size in bytes) of every file of a kind."""
        if kind is FileType.LOCK:
            yield from [(name, len(body)) for name, body in self._locks.items()]
            return
        for key, size in self._base.sizes(f"{kind.value}/"):
            if key not in self._gone and key not in self._over and (file := parse_key(key)) is not None:
                yield file.id, size
        for key, version in list(self._over.items()):
            if (file := parse_key(key)) is not None and file.type is kind:
                yield file.id, version.size

    def wrote(self, file: RepositoryFile, version: ObjectVersion) -> None:
        """Show what was put into the bucket through the view."""
        self._over[file.key()] = version
        self.written[file.key()] = version

    def delete(self, file: RepositoryFile) -> bool:
        """Hide a file and record that it was deleted; return whether it was there."""
        if (version := self.find(file)) is None:
            return False
        self._over.pop(file.key(), None)
        self._gone.add(file.key())
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

    def standing(self, folder: str = "") -> Iterator[tuple[str, ObjectVersion]]:
        """Yield all that the view shows now below a folder, by key."""
        for key, version in self._base.below(folder):
            if key not in self._gone and key not in self._over and _is_a_file(key):
                yield key, version
        yield from [(key, version) for key, version in self._over.items() if key.startswith(folder)]


def _is_a_file(key: str) -> bool:
    return (file := parse_key(key)) is not None and file.type is not FileType.LOCK
