"""What trees name, as it is remembered from run to run: so that a night reads the trees that are new, and no others.

Nothing depends on it but speed: a tree that is not remembered, or whose piece does not hash to what it says, is read again.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PIECE = 32 << 20
"""Bytes, beyond which another piece is begun."""
_ID = 32
_HEAD = struct.Struct(">32sII")
_MAGIC = b"maintainer trees 1\n"
_LONGEST = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class SeenTree:
    """The trees that a tree names, and the data blobs of its files with their lengths in bytes, by ids."""

    trees: tuple[bytes, ...]
    blobs: Mapping[bytes, int]


def encode(trees: Mapping[bytes, SeenTree]) -> Iterator[bytes]:
    """Write trees down, in pieces of which each can be read alone."""
    held = bytearray(_MAGIC)
    for name, tree in trees.items():
        if max(tree.blobs.values(), default=0) > _LONGEST:
            continue  # of no honest pack, which are smaller
        held += _HEAD.pack(name, len(tree.trees), len(tree.blobs))
        held += b"".join(tree.trees) + b"".join(tree.blobs) + struct.pack(f">{len(tree.blobs)}I", *tree.blobs.values())
        if len(held) > PIECE:
            yield _sealed(held)
            held = bytearray(_MAGIC)
    if len(held) > len(_MAGIC):
        yield _sealed(held)


def _sealed(held: bytearray) -> bytes:
    return bytes(held) + hashlib.sha256(held).digest()


def decode(piece: bytes) -> Iterator[tuple[bytes, SeenTree]]:
    """Read one piece; ValueError where it is not what was written."""
    body, seal = piece[:-_ID], piece[-_ID:]
    if not body.startswith(_MAGIC) or hashlib.sha256(body).digest() != seal:
        raise ValueError("no piece of remembered trees")
    at = len(_MAGIC)
    while at < len(body):
        name, trees, blobs = _HEAD.unpack_from(body, at)
        at += _HEAD.size
        ids = [body[start : start + _ID] for start in range(at, at + _ID * (trees + blobs), _ID)]
        at += _ID * (trees + blobs)
        lengths = struct.unpack_from(f">{blobs}I", body, at)
        at += 4 * blobs
        yield name, SeenTree(tuple(ids[:trees]), dict(zip(ids[trees:], lengths, strict=True)))
