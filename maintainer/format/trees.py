"""Trees: what a snapshot reaches. Read node by node, so that a directory of a million files takes no more memory than one of them."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from maintainer.format.boundary import FormatError, reader
from maintainer.format.crypto import MasterKey, decompress, decrypt
from maintainer.format.files import folded

INFLATED = 4 << 30
"""The largest tree that is read, in bytes."""
LONGEST_NODE = 256 << 20
"""The most text that one node may have: a file of four terabytes names as many blobs."""
_START, _END = '{"nodes":', "}"


@dataclass(frozen=True, slots=True)
class Tree:
    """The ids that a tree names: its directories' trees, and its files' data blobs; each once."""

    trees: frozenset[bytes] = frozenset()
    blobs: frozenset[bytes] = field(default=frozenset(), repr=False)


@reader("tree")
def read_tree(key: MasterKey, sealed: bytes, *, compressed: bool) -> Tree:
    """Open a tree blob; FormatError where it is not as restic writes one, or could be read in two ways.

    Only what restic itself follows is taken: the content of files, the subtree of directories.
    """
    trees: set[bytes] = set()
    blobs: set[bytes] = set()
    plain = decrypt(key, sealed)
    for node in _nodes(decompress(plain, INFLATED) if compressed else iter((plain,))):
        kind = node.get("type")
        if kind == "file":
            blobs.update(map(_id, node.get("content") or ()))
        elif kind == "dir":
            trees.add(_id(node["subtree"]))
    return Tree(frozenset(trees), frozenset(blobs))


def _id(text: object) -> bytes:
    if not isinstance(text, str):
        raise FormatError("no tree: an id that is no text")
    name = bytes.fromhex(text)
    if len(name) != 32:  # noqa: PLR2004 - SHA-256's
        raise FormatError("no tree: an id of another length")
    return name


def _nodes(pieces: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the nodes of a tree's JSON, of which no more is held than one node and a piece."""
    text = _Text(pieces)
    text.demand(_START)
    if text.skips("null"):
        text.demand(_END)
        return
    text.demand("[")
    if not text.skips("]"):
        yield text.object()
        while text.skips(","):
            yield text.object()
        text.demand("]")
    text.demand(_END)
    text.end()


_DECODER = json.JSONDecoder(object_pairs_hook=folded)


class _Text:
    """UTF-8 as it comes."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = ""
        self._at = 0

    def skips(self, literal: str) -> bool:
        while len(self._held) - self._at < len(literal) and self._more(1):
            pass
        if not self._held.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def demand(self, literal: str) -> None:
        if not self.skips(literal):
            raise FormatError("no tree: it is not as restic writes one")

    def end(self) -> None:
        while self._more(1):
            pass
        if self._held[self._at :] not in ("", "\n"):
            raise FormatError("no tree: something follows its end")

    def object(self) -> dict[str, Any]:
        """Read one object; more text is fetched while it is not whole, twice as much each time."""
        wanted = 1
        while True:
            try:
                raw, at = _DECODER.raw_decode(self._held, self._at)
            except json.JSONDecodeError as error:
                if len(self._held) - self._at > LONGEST_NODE or not self._more(wanted):
                    raise FormatError(f"no tree: {error}") from error
                wanted *= 2
            else:
                break
        if not isinstance(raw, dict):
            raise FormatError("no tree: a node that is no object")
        self._at = at
        return raw

    def _more(self, pieces: int) -> bool:
        """Hold more text; return whether there was any."""
        fresh = list(islice(self._pieces, pieces))
        self._held = self._held[self._at :] + self._decoder.decode(b"".join(fresh), final=not fresh)
        self._at = 0
        return bool(fresh)
