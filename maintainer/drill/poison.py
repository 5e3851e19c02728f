"""Index poisoning: an index that claims that packs hold what they do not, so that a prune drops the true copies, and backups skip them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from maintainer.core.repofiles import FileType
from maintainer.drill import forge
from maintainer.drill.forge import Blob, Forged
from maintainer.drill.target import Target, put_all, true_contents
from maintainer.format.crypto import MasterKey

LARGE = 20_000
"""Bytes that a forged pack has beyond what it needs."""
Named: TypeAlias = Mapping[str, tuple[Blob, ...]]
"""What the true indexes say: blobs by pack."""
Poison: TypeAlias = Callable[[MasterKey, Named], tuple[Forged, ...]]


def over_random_packs(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Claim every blob for a pack of random bytes."""
    return _claim_for_random(key, named, {})


def over_wrong_blobs(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Claim every blob for a pack whose header and blobs are authentic, and whose content is other."""
    pack = forge.pack(key, [(blob.type, os.urandom(max(blob.length - 32, 1)), blob.id) for blob in _all(named)])
    return pack, forge.index(key, {pack.id: pack.blobs})


def partly_true(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Say the truth of all packs, and one lie more."""
    return _claim_for_random(key, named, named)


def over_true_packs(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Claim the blobs of each true pack for another true pack."""
    packs = list(named)
    return (forge.index(key, {pack: named[packs[number - 1]] for number, pack in enumerate(packs)}),)


def over_nothing(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Claim every blob for a pack that is not there."""
    return (forge.index(key, {os.urandom(32).hex(): _claimed(named)}),)


def read_in_two_ways(key: MasterKey, named: Named) -> tuple[Forged, ...]:
    """Say the truth to a reader that minds upper case, and a lie to one that does not, as restic's."""
    pack = forge.forged(FileType.PACK, os.urandom(LARGE))
    true, lie = _raw(named), _raw({pack.id: _claimed(named)})
    files = (forge.forged(FileType.INDEX, forge.seal(key, forge.compact(raw))) for raw in ({"packs": true, "PACKS": lie}, {"PACKS": lie}))
    return pack, *files


POISONS: Mapping[str, Poison] = {
    "random packs": over_random_packs,
    "valid headers, wrong blobs": over_wrong_blobs,
    "partly true": partly_true,
    "true packs exchanged": over_true_packs,
    "no pack": over_nothing,
    "two readings": read_in_two_ways,
}


def poison(target: Target, kind: Poison) -> None:
    """Put one poison."""
    key, named = target.master_key(), _named(target)
    put_all(target, *kind(key, named))


def poison_often(target: Target) -> None:
    """Put twenty-five, of all kinds."""
    key, named = target.master_key(), _named(target)
    kinds = list(POISONS.values())
    for number in range(25):
        put_all(target, *kinds[number % len(kinds)](key, named))


def _named(target: Target) -> Named:
    return {
        pack: tuple(Blob(name, kind, at, length) for name, kind, at, length, _ in blobs) for pack, blobs in true_contents(target).items()
    }


def _all(named: Named) -> tuple[Blob, ...]:
    return tuple(blob for blobs in named.values() for blob in blobs)


def _claimed(named: Named) -> tuple[Blob, ...]:
    """Return all blobs as if they lay one behind the other in a pack of their own."""
    at = 0
    laid = []
    for blob in _all(named):
        laid.append(Blob(blob.id, blob.type, at, blob.length))
        at += blob.length
    return tuple(laid)


def _claim_for_random(key: MasterKey, named: Named, also: Named) -> tuple[Forged, ...]:
    blobs = _claimed(named)
    pack = forge.forged(FileType.PACK, os.urandom(sum(blob.length for blob in blobs) + LARGE))
    return pack, forge.index(key, {**also, pack.id: blobs})


def _raw(named: Named) -> list[dict[str, Any]]:
    return [{"id": pack, "blobs": [blob.entry() for blob in blobs]} for pack, blobs in named.items()]
