"""What snapshots reach, measured on proved indexes and on trees as they are, each read once: a host's own figures count for nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from maintainer.agent.run import Opened, Run
from maintainer.agent.smallfiles import read_small
from maintainer.core.entries import Extent
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.retention import Candidate
from maintainer.core.versions import ObjectVersion
from maintainer.format.crypto import FormatError
from maintainer.format.indexes import read_index
from maintainer.format.trees import Tree, read_tree

GAP = 64 << 10
"""Bytes between two trees of a pack that are rather read than asked past."""
LONGEST_READ = 8 << 20
REMEMBERED = 4
"""How many snapshots' blobs are held at a time: one and its predecessor, and some to spare."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tree lies."""

    pack: str
    at: int
    length: int
    compressed: bool


class Extents:
    """Measures snapshots of one view. `trees_read` and `bytes_read` say what it cost."""

    def __init__(self, run: Run, opened: Opened, view: Mapping[str, ObjectVersion], roots: Mapping[str, bytes]) -> None:
        """Work on the packs and indexes of `view`; `roots` are the snapshots' trees, by the snapshots' ids."""
        self._run = run
        self._opened = opened
        self._view = view
        self._roots = roots
        self._places: dict[bytes, _Place] | None = None
        self._trees: dict[bytes, Tree] = {}
        self._strange: dict[bytes, str] = {}
        self._lengths: dict[bytes, int] = {}
        self._reached: OrderedDict[bytes, tuple[frozenset[bytes], str]] = OrderedDict()
        self.trees_read = self.bytes_read = 0

    def ahead(self, snapshots: Iterable[str]) -> None:
        """Read all that these will ask for, many at a time."""
        roots = {self._roots[one] for one in snapshots}
        self._read_trees(roots)
        self._find_lengths({blob for tree in self._trees.values() for blob in tree.blobs})

    def measure(self, candidate: Candidate, previous: Candidate | None) -> Extent:
        """Return what a snapshot reaches, beside its plausible predecessor."""
        blobs, strange = self._reach(self._roots[candidate.id])
        size = self._sum(blobs)
        if previous is None:
            return Extent(size, why=strange)
        before, _ = self._reach(self._roots[previous.id])
        return Extent(size, self._sum(before), self._sum(before & blobs), previous.name, strange)

    def _sum(self, blobs: frozenset[bytes]) -> int:
        self._find_lengths({blob for blob in blobs if blob not in self._lengths})
        return sum(self._lengths[blob] for blob in blobs)

    def _reach(self, root: bytes) -> tuple[frozenset[bytes], str]:
        """Return the data blobs that a tree reaches, however often and by however many ways; and why not all can be told, if so."""
        if root in self._reached:
            self._reached.move_to_end(root)
            return self._reached[root]
        self._read_trees({root})
        blobs: set[bytes] = set()
        seen = {root}
        waiting = [root]
        strange = ""
        while waiting:
            name = waiting.pop()
            strange = strange or self._strange.get(name, "")
            tree = self._trees.get(name, Tree())
            blobs |= tree.blobs
            waiting += tree.trees - seen
            seen |= tree.trees
        self._reached[root] = frozenset(blobs), strange
        while len(self._reached) > REMEMBERED:
            self._reached.popitem(last=False)
        return self._reached[root]

    def _read_trees(self, wanted: set[bytes]) -> None:
        """Read these trees and all below them, but those that were read before."""
        places = self._find_places()
        with ThreadPoolExecutor(8, thread_name_prefix="trees") as pool:
            while wanted := {name for name in wanted if name not in self._trees and name not in self._strange}:
                self._strange |= {name: f"names tree {name.hex()[:8]}, which no index has" for name in wanted - places.keys()}
                parts = list(_parts({name: places[name] for name in wanted & places.keys()}))
                for found in pool.map(self._read_part, parts):
                    for name, tree in found.items():
                        if isinstance(tree, str):
                            self._strange[name] = f"names tree {name.hex()[:8]}, of which {tree}"
                        else:
                            self._trees[name] = tree
                            self.trees_read += 1
                self.bytes_read += sum(end - start for _, start, end, _ in parts)
                wanted = {below for name in wanted if name in self._trees for below in self._trees[name].trees}

    def _read_part(self, part: _Part) -> dict[bytes, Tree | str]:
        pack, start, end, places = part
        version = self._view[RepositoryFile(FileType.PACK, pack).key()]
        found: dict[bytes, Tree | str] = {}
        with self._run.room.hold(end - start):
            body = self._run.store.read_part(version, start, end)
            for name, place in places.items():
                sealed = body[place.at - start : place.at - start + place.length]
                try:
                    found[name] = read_tree(self._opened.master, sealed, compressed=place.compressed)
                except FormatError as error:
                    found[name] = str(error)
        return found

    def _find_places(self) -> dict[bytes, _Place]:
        if self._places is None:
            self._places = {
                bytes.fromhex(name): _Place(pack, at, length, plain > 0)
                for pack, blobs in self._indexed()
                for name, kind, at, length, plain in blobs
                if kind == "tree" and RepositoryFile(FileType.PACK, pack).key() in self._view
            }
        return self._places

    def _find_lengths(self, wanted: set[bytes]) -> None:
        wanted = wanted - self._lengths.keys()
        if not wanted:
            return
        for _, blobs in self._indexed():
            for name, kind, _, length, _ in blobs:
                if kind == "data" and (blob := bytes.fromhex(name)) in wanted:
                    self._lengths[blob] = length
        for blob in wanted - self._lengths.keys():
            self._lengths[blob] = 0

    def _indexed(self) -> Iterator[tuple[str, tuple[tuple[str, str, int, int, int], ...]]]:
        for key, version in self._view.items():
            if key.startswith(f"{FileType.INDEX.value}/"):
                with self._run.room.hold(version.size):
                    yield from read_index(self._opened.master, read_small(self._run, version))


_Part = tuple[str, int, int, dict[bytes, _Place]]
"""A stretch of a pack from one byte to before another, and the trees in it."""


def _parts(places: Mapping[bytes, _Place]) -> Iterator[_Part]:
    """Gather what lies close together, so that a pack full of trees is read at once."""
    open_part: _Part | None = None
    for name, place in sorted(places.items(), key=lambda item: (item[1].pack, item[1].at)):
        end = place.at + place.length
        if open_part is not None and open_part[0] == place.pack and place.at - open_part[2] <= GAP and end - open_part[1] <= LONGEST_READ:
            open_part[3][name] = place
            open_part = (place.pack, open_part[1], max(end, open_part[2]), open_part[3])
        else:
            if open_part is not None:
                yield open_part
            open_part = (place.pack, place.at, end, {name: place})
    if open_part is not None:
        yield open_part
