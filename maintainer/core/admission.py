"""Which indexes may be believed: those that say of every pack exactly what the pack says of itself. Ends index poisoning."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from maintainer.core.findings import Kind

Blob: TypeAlias = tuple[str, str, int, int, int]
"""A blob of a pack: id, type, offset, length, and length before compression (0 where it is not compressed); in bytes."""
Contents: TypeAlias = Mapping[str, bytes]
"""What each pack holds, by the pack's id: a digest of its blobs, for a repository may have ten million, and whether any is a tree."""
Strange: TypeAlias = "tuple[str, Contents | None]"
"""Why an index is not in restic's own form, and what it claims to a reader that minds no form; None where that is not clear either."""
_TREES = b"t"


def contents(packs: Iterable[tuple[str, tuple[Blob, ...]]]) -> dict[str, bytes]:
    """Return what an index says of each pack, all that it says in different places together.

    restic says all of a pack in one place, and so no more than one pack's blobs are held. What is said in several places, others between,
    comes to a digest that no single place comes to.
    """
    found: dict[str, bytes] = {}
    for pack, said in groupby(packs, key=itemgetter(0)):
        lines: list[bytes] = []
        before = found.get(pack, b"")
        has_tree = has_trees(before)
        for _, blobs in said:
            lines += [f"{name}{kind[0]}{at},{length},{plain}".encode() for name, kind, at, length, plain in blobs]
            has_tree = has_tree or any(kind == "tree" for _, kind, *_ in blobs)
        lines.sort()
        digest = hashlib.sha256(b";".join(lines)).digest()
        if before:
            digest = hashlib.sha256(before + digest).digest()
        found[pack] = digest + _TREES if has_tree else digest
    return found


def has_trees(holds: bytes) -> bool:
    """Tell whether a pack of these contents holds any tree: restic's cache keeps such packs whole."""
    return holds.endswith(_TREES) and len(holds) > hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Doubt:
    """What speaks against an index.

    Of the packs that it names `wrong` are sound and hold something else than it says, and `absent` are not there or not sound; `packs` is
    how many it names in all; `damaged` are those of the absent that are there since before first contact, and hold something sound.
    `strange` is why another reader might take it otherwise than ours.
    """

    wrong: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    strange: str = ""
    packs: int = 0
    damaged: frozenset[str] = frozenset()
    is_too_large: bool = False


def name_of(doubt: Doubt, *, is_part: bool, unreadable: int, is_legible: bool, is_older: bool) -> tuple[Kind, str]:
    """Return what an index is that is not believed, and why. Only a lie accuses anybody.

    `is_part`: what it says of the packs that hold something else is true, and not all. `unreadable`: how many absent packs are there since
    before first contact, as the index is, and can not be read. `is_legible`: a reader that minds no form can tell what a strange one says.
    What an index of before first contact (`is_older`) names may have been lost at any time before; later a pack is there before any
    index names it.
    """
    if doubt.is_too_large:
        return Kind.TOO_LARGE, doubt.strange
    if doubt.wrong and not is_part:
        return Kind.POISONED_INDEX, f"of the {doubt.packs} packs that it names {len(doubt.wrong)} hold something else"
    missing = len(doubt.absent) - unreadable - len(doubt.damaged)
    if missing and not is_older:
        return Kind.POISONED_INDEX, f"of the {doubt.packs} packs that it names {missing} are not there or not sound"
    if doubt.strange and not is_legible:
        return Kind.POISONED_INDEX, doubt.strange
    if unreadable:
        return Kind.UNREADABLE_INDEX, f"of the {doubt.packs} packs that it names {unreadable} can not be read"
    if doubt.damaged:
        return Kind.INDEX_OF_DAMAGED, f"of the {doubt.packs} packs that it names {len(doubt.damaged)} are damaged"
    if missing:
        return Kind.DAMAGED_INDEX, f"of the {doubt.packs} packs that it names {missing} are missing or damaged"
    if doubt.strange:
        return Kind.FOREIGN_INDEX, doubt.strange
    return Kind.PARTIAL_INDEX, f"of {len(doubt.wrong)} of the {doubt.packs} packs that it names it says only a part"


@dataclass(frozen=True, slots=True)
class IndexVerdict:
    """What may be believed. `doubted` says of an index what speaks against it, `reviving` which condemned packs a true one names.

    `reindex` are, where one is not believed, the sound packs that no other names: an index of ours must name them instead.
    """

    trusted: tuple[str, ...] = ()
    doubted: Mapping[str, Doubt] = field(default_factory=dict)
    reviving: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reindex: frozenset[str] = frozenset()


def judge_indexes(
    claims: Mapping[str, Contents], strange: Mapping[str, Strange], truth: Contents, condemned: AbstractSet[str], covered: Iterable[str]
) -> IndexVerdict:
    """Compare what new indexes claim (by their keys) with the truth, for every pack that is sound and was looked into.

    `strange` says of an index why another reader might take it otherwise than ours, and what it claims to one that minds no form: it is
    never believed. `condemned` are packs that are there, and doomed or evicted or of a run that never committed; `covered` those that an
    admitted index names. A pack that is in neither `truth` nor `condemned` is not there, or not sound.
    """
    trusted: list[str] = []
    doubted = {key: _doubt(why, claim or {}, truth, condemned) for key, (why, claim) in strange.items()}
    reviving: dict[str, frozenset[str]] = {}
    for key, claim in claims.items():
        doubt = _doubt("", claim, truth, condemned)
        if doubt.wrong or doubt.absent:
            doubted[key] = doubt
        elif revived := condemned & claim.keys():
            reviving[key] = frozenset(revived)
        else:
            trusted.append(key)
    safe = {*covered, *(pack for key in trusted for pack in claims[key])}
    reindex = truth.keys() - safe if doubted or reviving else ()
    return IndexVerdict(tuple(trusted), doubted, reviving, frozenset(reindex))


def _doubt(strange: str, claim: Contents, truth: Contents, condemned: AbstractSet[str]) -> Doubt:
    false = [pack for pack, holds in claim.items() if pack not in condemned and truth.get(pack) != holds]
    wrong = frozenset(pack for pack in false if pack in truth)
    return Doubt(wrong, frozenset(false) - wrong, strange, len(claim))
