"""Trees of one view, each read once: what snapshots name, where it lies, and what of it no index has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from maintainer.agent.run import Opened, Run
from maintainer.agent.smallfiles import open_index
from maintainer.core import seentrees
from maintainer.core.admission import Blob
from maintainer.core.errors import MaintainerError
from maintainer.core.repofiles import FileType, RepositoryFile
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


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a tree lies."""

    pack: str
    at: int
    length: int
    compressed: bool


class Trees:
    """The trees of one view. `trees_read` and `bytes_read` say what it cost: trees that are known cost nothing."""

    def __init__(self, run: Run, opened: Opened, view: Shown, scratch: Mapping[str, bytes] | None = None) -> None:
        """Work on the packs and indexes of `view`; those indexes that are in no store are in `scratch`."""
        self._run = run
        self._opened = opened
        self._view = view
        self._scratch = scratch or {}
        self._known = run.known_trees
        # What is new is looked for, and it is in the newest as a rule.
        indexes = (version for _, version in view.below(f"{FileType.INDEX.value}/"))
        self._indexes = sorted(indexes, key=lambda version: version.last_modified, reverse=True)
        self._unsearched = iter(self._indexes)
        self._places: dict[bytes, _Place] = {}
        self._strange: dict[bytes, str] = {}
        self._absent: set[bytes] = set()
        self._whole: set[bytes] = set()
        self.trees_read = self.bytes_read = 0

    def __getitem__(self, name: bytes) -> Tree:
        """Return what a tree names: nothing, where it could not be read."""
        return self._known.trees.get(name, Tree())

    def why_strange(self, name: bytes) -> str:
        """Return why a tree could not be read; empty where it was."""
        return self._strange.get(name, "")

    def length(self, blobs: AbstractSet[bytes]) -> int:
        """Return how many bytes these data blobs have together, 0 for what no index has."""
        lengths = self._known.lengths
        self._find_lengths({blob for blob in blobs if blob not in lengths})
        return sum(lengths.get(blob, 0) for blob in blobs)

    def read(self, roots: Iterable[bytes]) -> None:
        """Read these trees and all below them, but those that are known."""
        self._recall()
        known = self._known.trees
        level = set(roots) - self._whole
        while level:
            self._whole |= level
            if wanted := {name for name in level if name not in known and name not in self._strange}:
                self._fetch(wanted)
            level = {below for name in level if name in known for below in known[name].trees} - self._whole

    def _fetch(self, wanted: set[bytes]) -> None:
        places = self._find_places(wanted)
        self._strange |= {name: f"names tree {name.hex()[:8]}, which no index has" for name in wanted - places.keys()}
        parts = list(_parts({name: places[name] for name in wanted & places.keys()}))
        for _, found in in_order(self._read_part, parts, READERS, "trees"):
            for name, tree in found.items():
                if isinstance(tree, str):
                    self._strange[name] = f"names tree {name.hex()[:8]}, of which {tree}"
                else:
                    self._known.trees[name] = tree
                    self.trees_read += 1
        self.bytes_read += sum(end - start for _, start, end, _ in parts)

    def below(self, roots: Iterable[bytes]) -> set[bytes]:
        """Return these and all below them, as far as they are known."""
        known = self._known.trees
        seen = {root for root in roots if root in known}
        waiting = list(seen)
        while waiting:
            fresh = {name for name in known[waiting.pop()].trees if name in known} - seen
            seen |= fresh
            waiting += fresh
        return seen

    def remember(self, roots: Iterable[bytes]) -> None:
        """Keep what was read of what these reach, for the runs to come; all of it anew, where most of what is kept is of no use."""
        kept, living = self._known.remembered or frozenset(), self.below(roots)
        if not (fresh := living - kept):
            return
        anew = len(kept | fresh) > WASTE * len(living)
        lengths = self._known.lengths
        trees = {
            name: SeenTree(tuple(tree.trees), {blob: lengths[blob] for blob in tree.blobs})
            for name, tree in ((name, self[name]) for name in (living if anew else fresh))
            if tree.blobs <= lengths.keys()
        }
        self._run.state.remember_trees(self._run.run_id, seentrees.encode(trees), anew=anew)

    def lacking(self, roots: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return of each of these trees a blob that it names, itself or below, and that no pack of the view holds; of whole ones none.

        Each tree is looked at once, however many name it: the cost is that of the trees, not of the snapshots.
        """
        asked = set(roots)
        self.read(asked)
        reached = self.below(asked)
        absent = set(asked)
        for name in reached:
            absent |= self[name].trees
            absent |= self[name].blobs
        self._strike_out(absent)
        if not absent:
            return {}
        above: dict[bytes, list[bytes]] = {}
        for name in reached:
            for part in self[name].trees:
                above.setdefault(part, []).append(name)
        lacks = {name: name for name in absent if name in asked or name in above}
        for name in reached - lacks.keys():
            if missing := self[name].blobs & absent:
                lacks[name] = min(missing)
        spreading = list(lacks)
        while spreading:
            name = spreading.pop()
            for one in above.get(name, ()):
                if one not in lacks:
                    lacks[one] = lacks[name]
                    spreading.append(one)
        return {root: lacks[root] for root in asked if root in lacks}

    def present(self, blobs: Iterable[bytes]) -> set[bytes]:
        """Return those of these blobs that some pack of the view holds, by its indexes."""
        wanted = frozenset(blobs)
        absent = set(wanted)
        self._strike_out(absent)
        return set(wanted - absent)

    def _strike_out(self, blobs: set[bytes]) -> None:
        """Take out of these what some pack of the view holds. They may be ten million: no second set of them is made."""
        for index in self._indexes:
            if not blobs:
                return
            for pack, found in self._blobs(index):
                if RepositoryFile(FileType.PACK, pack).key() in self._view:
                    blobs.difference_update(bytes.fromhex(name) for name, *_ in found)

    def find_lengths_of_fresh(self, roots: Iterable[bytes]) -> None:
        """Look up the lengths of what these trees reach and no earlier run has kept, all at once."""
        fresh = self.below(roots) - (self._known.remembered or frozenset())
        self._find_lengths({blob for name in fresh for blob in self[name].blobs})

    def _find_lengths(self, wanted: set[bytes]) -> None:
        """Look up the lengths of data blobs, those that are known apart."""
        missing = wanted - self._known.lengths.keys() - self._absent
        for index in self._indexes:
            if not missing:
                return
            for _, blobs in self._blobs(index):
                for name, kind, _, length, _ in blobs:
                    if kind == "data" and (blob := bytes.fromhex(name)) in missing:
                        self._known.lengths[blob] = length
            missing -= self._known.lengths.keys()
        self._absent |= missing

    def _recall(self) -> None:
        """Take what earlier runs have seen of trees, once a run; what can not be read is read again from the packs."""
        if self._known.remembered is not None:
            return
        state = self._run.state
        for _, piece in in_order(partial(_or_nothing, state.read_trees), state.remembered_trees(), READERS, "recall"):
            with suppress(ValueError):
                for name, tree in seentrees.decode(piece):
                    self._known.trees[name] = Tree(frozenset(tree.trees), frozenset(tree.blobs))
                    self._known.lengths |= tree.blobs
        self._known.remembered = frozenset(self._known.trees)

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
            for pack, blobs in self._blobs(index):
                if RepositoryFile(FileType.PACK, pack).key() in self._view:
                    trees = (blob for blob in blobs if blob[1] == "tree")
                    self._places |= {bytes.fromhex(name): _Place(pack, at, length, plain > 0) for name, _, at, length, plain in trees}
        return self._places

    def _blobs(self, index: ObjectVersion) -> Iterator[tuple[str, tuple[Blob, ...]]]:
        if (body := self._scratch.get(index.key)) is not None:
            yield from read_index(self._opened.master, body)
            return
        with open_index(self._run, index) as file:
            yield from read_index(self._opened.master, file)


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
