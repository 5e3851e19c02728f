"""What snapshots reach, measured on proved indexes and on trees as they are: a host's own figures count for nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from maintainer.agent.trees import Trees
from maintainer.core.records import Extent
from maintainer.core.retention import Candidate

HELD = 4
"""How many snapshots' blobs are held at a time: one, its predecessor and an older one, and one to spare."""


class Extents:
    """Measures snapshots of one view."""

    def __init__(self, trees: Trees, roots: Mapping[str, bytes]) -> None:
        """Work on the trees of a view; `roots` are the snapshots' trees, by the snapshots' ids."""
        self._trees = trees
        self._roots = roots
        self._reached: OrderedDict[bytes, tuple[frozenset[bytes], str]] = OrderedDict()

    def ahead(self, snapshots: Iterable[str]) -> None:
        """Read all that these will ask for, many at a time."""
        if roots := {self._roots[one] for one in snapshots}:
            self._trees.read(roots)
            self._trees.find_lengths_of_fresh(roots)

    def remember(self) -> None:
        """Keep what was read, for the runs to come."""
        self._trees.remember(self._roots.values())

    def measure(self, candidate: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
        """Return what a snapshot reaches, beside its plausible predecessor and an older one."""
        blobs, strange = self._reach(self._roots[candidate.id])
        size = self._trees.length(blobs)
        if previous is None:
            return Extent(size, why=strange)
        base, shared = self._common(previous, blobs)
        held, kept = self._common(anchor, blobs) if anchor is not None else (0, 0)
        return Extent(size, base, shared, previous.name, strange, held, kept)

    def _common(self, earlier: Candidate, blobs: frozenset[bytes]) -> tuple[int, int]:
        """Return the size of an earlier snapshot, and of what it has in common with these blobs."""
        before, _ = self._reach(self._roots[earlier.id])
        return self._trees.length(before), self._trees.length(before & blobs)

    def _reach(self, root: bytes) -> tuple[frozenset[bytes], str]:
        """Return the data blobs that a tree reaches, however often and by however many ways; and why not all can be told, if so."""
        if root in self._reached:
            self._reached.move_to_end(root)
            return self._reached[root]
        self._trees.read({root})
        blobs: set[bytes] = set()
        seen = {root}
        waiting = [root]
        strange = ""
        while waiting:
            name = waiting.pop()
            strange = strange or self._trees.why_strange(name)
            tree = self._trees[name]
            blobs |= tree.blobs
            waiting += tree.trees - seen
            seen |= tree.trees
        self._reached[root] = frozenset(blobs), strange
        while len(self._reached) > HELD:
            self._reached.popitem(last=False)
        return self._reached[root]
