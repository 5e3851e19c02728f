"""Which indexes may be believed: those that say of every pack exactly what the pack says of itself. Ends index poisoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import TypeAlias

Blob: TypeAlias = tuple[str, str, int, int, int]
"""A blob of a pack: id, type, offset, length, and length before compression (0 where it is not compressed); in bytes."""
Contents: TypeAlias = Mapping[str, tuple[Blob, ...]]
"""What each pack holds, by the pack's id; blobs in order."""


@dataclass(frozen=True, slots=True)
class IndexVerdict:
    """What may be believed. `poisoned` says of an index what it claims wrongly, `reviving` which condemned packs a true one names.

    `reindex` are the sound packs that only indexes named which are not believed: an index of ours must name them instead.
    """

    trusted: tuple[str, ...] = ()
    poisoned: Mapping[str, str] = field(default_factory=dict)
    reviving: Mapping[str, frozenset[str]] = field(default_factory=dict)
    reindex: frozenset[str] = frozenset()


def judge_indexes(
    claims: Mapping[str, Contents], strange: Mapping[str, str], truth: Contents, condemned: AbstractSet[str], covered: Iterable[str]
) -> IndexVerdict:
    """Compare what new indexes claim (by their keys) with the truth, for every pack that they name and that is sound.

    `strange` says of an index why another reader might take it otherwise than ours, however true it is as we read it.
    `condemned` are packs that are there, and doomed or evicted or of a run that never committed; `covered` those that an admitted index
    names. A pack that is in neither `truth` nor `condemned` is not there, or not sound.
    """
    trusted: list[str] = []
    poisoned: dict[str, str] = {}
    reviving: dict[str, frozenset[str]] = {}
    for key, claim in claims.items():
        false = [pack for pack, blobs in claim.items() if pack not in condemned and truth.get(pack) != blobs]
        if key in strange:
            poisoned[key] = strange[key]
        elif false:
            known = sum(pack in truth for pack in false)
            poisoned[key] = (
                f"of {len(claim)} packs it names, {known} hold something else, and {len(false) - known} are not there or not sound"
            )
        elif revived := condemned & claim.keys():
            reviving[key] = frozenset(revived)
        else:
            trusted.append(key)
    named = {pack for key in (*poisoned, *reviving) for pack in claims[key]}
    safe = {*covered, *(pack for key in trusted for pack in claims[key])}
    return IndexVerdict(tuple(trusted), poisoned, reviving, frozenset((named & truth.keys()) - safe))
