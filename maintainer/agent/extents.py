"""What snapshots reach, measured on proved indexes and on trees as they are, each read once: a host's own figures count for nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from maintainer.agent.run import Opened, Run
from maintainer.agent.smallfiles import read_small
from maintainer.core import seentrees
from maintainer.core.admission import Blob
from maintainer.core.errors import MaintainerError
from maintainer.core.records import Extent
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.retention import Candidate
from maintainer.core.seentrees import SeenTree
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Shown
from maintainer.edges.inorder import in_order
from maintainer.format.boundary import FormatError
from maintainer.format.indexes import read_index
from maintainer.format.trees import Tree, read_tree

READERS = 8
GAP = 64 << 10
"""Bytes between two trees of a pack that are rather read than asked past."""
LONGEST_READ = 8 << 20
WASTE = 2
"""How many times as many trees may be remembered as snapshots reach."""
HELD = 4
"""How many snapshots' blobs are held at a time: one, its predecessor and an older one, and one to spare."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tree lies."""

    pack: str
    at: int
    length: int
    compressed: bool


class Extents:
    """Measures snapshots of one view. `trees_read` and `bytes_read` say what it cost: trees that are remembered cost nothing."""

    def __init__(self, run: Run, opened: Opened, view: Shown, roots: Mapping[str, bytes]) -> None:
        """Work on the packs and indexes of `view`; `roots` are the snapshots' trees, by the snapshots' ids."""
        self._run = run
        self._opened = opened
        self._view = view
        self._roots = roots
        # What is new is looked for, and it is in the newest as a rule.
        indexes = (version for _, version in view.below(f"{FileType.INDEX.value}/"))
        self._indexes = sorted(indexes, key=lambda version: version.last_modified, reverse=True)
        self._unsearched = iter(self._indexes)
        self._places: dict[bytes, _Place] = {}
        self._trees: dict[bytes, Tree] = {}
        self._strange: dict[bytes, str] = {}
        self._lengths: dict[bytes, int] = {}
        self._absent: set[bytes] = set()
        self._remembered: frozenset[bytes] = frozenset()
        self._reached: OrderedDict[bytes, tuple[frozenset[bytes], str]] = OrderedDict()
        self.trees_read = self.bytes_read = 0

    def ahead(self, snapshots: Iterable[str]) -> None:
        """Read all that these will ask for, many at a time."""
        if roots := {self._roots[one] for one in snapshots}:
            self._recall()
            self._read_trees(roots)
            self._find_lengths({blob for name in self._trees.keys() - self._remembered for blob in self._trees[name].blobs})

    def _recall(self) -> None:
        """Take what earlier runs have seen of trees; what can not be read is read again from the packs."""
        state = self._run.state
        for _, piece in in_order(partial(_or_nothing, state.read_trees), state.remembered_trees(), READERS, "recall"):
            with suppress(ValueError):
                for name, tree in seentrees.decode(piece):
                    self._trees[name] = Tree(frozenset(tree.trees), frozenset(tree.blobs))
                    self._lengths |= tree.blobs
        self._remembered = frozenset(self._trees)

    def remember(self) -> None:
        """Keep what was read, for the runs to come; or all that is of use of it anew, where most of what is kept is of none."""
        fresh = self._trees.keys() - self._remembered
        if not fresh:
            return
        living = self._below(self._roots.values())
        anew = len(self._trees) > WASTE * len(living)
        kept = ((name, self._trees[name]) for name in (living if anew else fresh))
        trees = {
            name: SeenTree(tuple(tree.trees), {blob: self._lengths[blob] for blob in tree.blobs})
            for name, tree in kept
            if tree.blobs <= self._lengths.keys() and tree.blobs.isdisjoint(self._absent)
        }
        self._run.state.remember_trees(self._run.run_id, seentrees.encode(trees), anew=anew)

    def _below(self, roots: Iterable[bytes]) -> set[bytes]:
        """Return these and all below them, as far as they are known."""
        seen = {root for root in roots if root in self._trees}
        waiting = list(seen)
        while waiting:
            below = {name for name in self._trees[waiting.pop()].trees if name in self._trees} - seen
            seen |= below
            waiting += below
        return seen

    def measure(self, candidate: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
        """Return what a snapshot reaches, beside its plausible predecessor and an older one."""
        blobs, strange = self._reach(self._roots[candidate.id])
        size = self._sum(blobs)
        if previous is None:
            return Extent(size, why=strange)
        base, shared = self._common(previous, blobs)
        held, kept = self._common(anchor, blobs) if anchor is not None else (0, 0)
        return Extent(size, base, shared, previous.name, strange, held, kept)

    def _common(self, earlier: Candidate, blobs: frozenset[bytes]) -> tuple[int, int]:
        """Return the size of an earlier snapshot, and of what it has in common with these blobs."""
        before, _ = self._reach(self._roots[earlier.id])
        return self._sum(before), self._sum(before & blobs)

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
        while len(self._reached) > HELD:
            self._reached.popitem(last=False)
        return self._reached[root]

    def _read_trees(self, wanted: set[bytes]) -> None:
        """Read these trees and all below them, but those that were read before."""
        while wanted := {name for name in wanted if name not in self._trees and name not in self._strange}:
            places = self._find_places(wanted)
            self._strange |= {name: f"names tree {name.hex()[:8]}, which no index has" for name in wanted - places.keys()}
            parts = list(_parts({name: places[name] for name in wanted & places.keys()}))
            for _, found in in_order(self._read_part, parts, READERS, "trees"):
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

    def _find_places(self, wanted: set[bytes]) -> Mapping[bytes, _Place]:
        """Look through indexes until these are found, or all have been looked through."""
        while not wanted <= self._places.keys() and (index := next(self._unsearched, None)) is not None:
            for pack, blobs in self._read(index):
                if RepositoryFile(FileType.PACK, pack).key() in self._view:
                    trees = (blob for blob in blobs if blob[1] == "tree")
                    self._places |= {bytes.fromhex(name): _Place(pack, at, length, plain > 0) for name, _, at, length, plain in trees}
        return self._places

    def _find_lengths(self, wanted: set[bytes]) -> None:
        missing = wanted - self._lengths.keys()
        for index in self._indexes:
            if not missing:
                return
            for _, blobs in self._read(index):
                for name, kind, _, length, _ in blobs:
                    if kind == "data" and (blob := bytes.fromhex(name)) in missing:
                        self._lengths[blob] = length
            missing -= self._lengths.keys()
        self._absent |= missing
        self._lengths |= dict.fromkeys(missing, 0)

    def _read(self, index: ObjectVersion) -> Iterator[tuple[str, tuple[Blob, ...]]]:
        with self._run.room.hold(index.size):
            yield from read_index(self._opened.master, read_small(self._run, index))


def _or_nothing(read: Callable[[str], bytes], key: str) -> bytes:
    try:
        return read(key)
    except MaintainerError:
        return b""


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
