"""Which indexes may be believed: those that say of every pack exactly what the pack says of itself. Ends index poisoning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

Blob: TypeAlias = tuple[str, str, int, int, int]
"""A blob of a pack: id, type, offset, length, and length before compression (0 where it is not compressed); in bytes."""
Contents: TypeAlias = Mapping[str, bytes]
"""What each pack holds, by the pack's id: a digest of its blobs, for a repository may have ten million, and whether any is a tree."""
_TREES = b"t"


def contents(packs: Iterable[tuple[str, tuple[Blob, ...]]]) -> dict[str, bytes]:
    """Return what an index says of each pack, all that it says in different places together."""
    found: dict[str, list[bytes]] = {}
    with_trees: set[str] = set()
    for pack, blobs in packs:
        found.setdefault(pack, []).extend(f"{name}{kind[0]}{at},{length},{plain}".encode() for name, kind, at, length, plain in blobs)
        if any(kind == "tree" for _, kind, *_ in blobs):
            with_trees.add(pack)
    digests = {pack: hashlib.sha256(b";".join(sorted(said))).digest() for pack, said in found.items()}
    return {pack: digest + _TREES if pack in with_trees else digest for pack, digest in digests.items()}


def has_trees(holds: bytes) -> bool:
    """Tell whether a pack of these contents holds any tree: restic's cache keeps such packs whole."""
    return holds.endswith(_TREES) and len(holds) > hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class IndexVerdict:
    """What may be believed. `poisoned` says of an index what it claims wrongly, `reviving` which condemned packs a true one names.

    `reindex` are, where one is not believed, the sound packs that no other names: an index of ours must name them instead.
    """

    trusted: tuple[str, ...] = ()
    poisoned: Mapping[str, str] = field(default_factory=dict)
    reviving: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reindex: frozenset[str] = frozenset()


def judge_indexes(
    claims: Mapping[str, Contents], strange: Mapping[str, str], truth: Contents, condemned: AbstractSet[str], covered: Iterable[str]
) -> IndexVerdict:
    """Compare what new indexes claim (by their keys) with the truth, for every pack that is sound and was looked into.

    `strange` says of an index why another reader might take it otherwise than ours: nothing that it claims is heeded. `condemned` are packs
    that are there, and doomed or evicted or of a run that never committed; `covered` those that an admitted index names. A pack that is in
    neither `truth` nor `condemned` is not there, or not sound.
    """
    trusted: list[str] = []
    poisoned: dict[str, str] = dict(strange)
    reviving: dict[str, frozenset[str]] = {}
    for key, claim in claims.items():
        false = [pack for pack, holds in claim.items() if pack not in condemned and truth.get(pack) != holds]
        if false:
            known = sum(pack in truth for pack in false)
            rest = len(false) - known
            poisoned[key] = f"of the {len(claim)} packs that it names {known} hold something else, and {rest} are not there or not sound"
        elif revived := condemned & claim.keys():
            reviving[key] = frozenset(revived)
        else:
            trusted.append(key)
    safe = {*covered, *(pack for key in trusted for pack in claims[key])}
    reindex = truth.keys() - safe if poisoned or reviving else ()
    return IndexVerdict(tuple(trusted), poisoned, reviving, frozenset(reindex))
