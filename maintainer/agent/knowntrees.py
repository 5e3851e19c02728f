"""What a run knows of trees, whatever view it looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

from maintainer.format.trees import Tree


@dataclass
class KnownTrees:
    """What trees name, and the lengths of data blobs, by their hashes.

    `remembered` are the trees that earlier runs have kept; None until these are read.
    """

    trees: dict[bytes, Tree] = field(default_factory=dict)
    lengths: dict[bytes, int] = field(default_factory=dict)
    remembered: frozenset[bytes] | None = None
