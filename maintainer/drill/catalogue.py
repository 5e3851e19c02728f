"""The catalogue of attacks: what whoever holds a host's keys can do, each by its number, and how it is noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from maintainer.core.findings import Kind
from maintainer.drill import bombs, damage, lies, poison, stops
from maintainer.drill.target import Target

Act = Callable[[Target, datetime], None]


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack. `noticed` are the kinds of which at least one finding must come, and none other may; none: it does no harm.

    `wide` tells that it takes a key which may do more than a host's should: delete, or choose storage.
    """

    number: int
    name: str
    act: Act
    noticed: frozenset[Kind]
    wide: bool = False


def _bomb(act: Callable[[Target], None]) -> Act:
    return lambda target, _: act(target)


def _poison(kind: poison.Poison) -> Act:
    return lambda target, _: poison.poison(target, kind)


def _all(number: int, *acts: tuple[str, Act], by: tuple[Kind, ...], wide: bool = False) -> tuple[Attack, ...]:
    return tuple(Attack(number, name, act, frozenset(by), wide) for name, act in acts)


_POISONED = (Kind.POISONED_INDEX, Kind.GARBAGE)

CATALOGUE: tuple[Attack, ...] = (
    *_all(1, ("every file overwritten", damage.overwrite_everything), by=(Kind.OVERWRITTEN,)),
    *_all(2, ("a pack overwritten fifty times", damage.overwrite_often), by=(Kind.OVERWRITTEN,)),
    *_all(4, ("every file deleted", damage.hide_everything), by=(Kind.HIDDEN,), wide=True),
    *_all(5, ("a forged config", damage.replace_config), by=(Kind.OVERWRITTEN,)),
    *_all(6, ("keys overwritten and added", damage.meddle_with_keys), by=(Kind.OVERWRITTEN, Kind.GARBAGE, Kind.NEW_KEY)),
    *_all(7, ("snapshots from the future", lies.from_the_future), by=(Kind.SUSPECT,)),
    *_all(8, ("fifty snapshots of nothing", lies.flood_of_empty), by=(Kind.SUSPECT,)),
    *_all(10, ("snapshots from the past", lies.from_the_past), by=(Kind.SUSPECT,)),
    *_all(11, ("garbage under its own hash", damage.litter_with_garbage), by=_POISONED),
    *_all(11, ("a snapshot without its tree", lies.of_a_missing_tree), by=(Kind.INCOMPLETE,)),
    *_all(12, *((f"poisoned index: {name}", _poison(kind)) for name, kind in poison.POISONS.items()), by=_POISONED),
    *_all(12, ("twenty-five poisoned indexes", lambda target, _: poison.poison_often(target)), by=_POISONED),
    *_all(14, ("locks of every kind", damage.lock), by=()),
    *_all(15, ("overwritten into an archive class", damage.put_into_the_archive), by=(Kind.OVERWRITTEN,), wide=True),
    *_all(15, ("put again under the attacker's own key", damage.put_under_a_customers_key), by=(Kind.OVERWRITTEN,), wide=True),
    *_all(16, ("hundreds of junk objects and versions", damage.bury_in_junk), by=(Kind.GARBAGE, Kind.FOREIGN_NAME, Kind.OVERWRITTEN)),
    *_all(20, ("the same bytes, called compressed", damage.put_again_encoded), by=(Kind.NOT_PLAIN,)),
    *_all(21, ("a snapshot of nothing with a forged summary", lies.one_of_nothing), by=(Kind.SUSPECT,)),
    *_all(22, ("a snapshot that inflates to gigabytes", _bomb(bombs.snapshot)), by=(Kind.GARBAGE,)),
    *_all(22, ("an index that inflates to gigabytes", _bomb(bombs.index)), by=(Kind.TOO_LARGE,)),
    *_all(22, ("a pack that inflates to gigabytes", _bomb(bombs.pack)), by=(Kind.GARBAGE,)),
    *_all(22, ("a config of gigabytes", _bomb(bombs.config)), by=(Kind.OVERWRITTEN,)),
    *_all(22, ("a key that costs a terabyte", _bomb(bombs.key)), by=(Kind.GARBAGE,)),
    *_all(26, ("every file put again", damage.put_again), by=()),
    *_all(28, ("names that play tricks", damage.play_tricks_with_names), by=(Kind.SUSPECT, Kind.FOREIGN_NAME)),
    *_all(29, ("one blob a hundred thousand times", lies.of_inflated_size), by=(Kind.SUSPECT,)),
    *_all(29, ("a tree of two readings", lies.read_in_two_ways), by=(Kind.SUSPECT,)),
    *_all(30, ("duplicates under a foreign key", damage.put_under_a_foreign_key), by=(Kind.NOT_PLAIN,), wide=True),
    *_all(31, ("a snapshot that names a missing blob", lies.of_missing_data), by=(Kind.INCOMPLETE,)),
    *_all(32, ("perfect copies, six an hour", lies.six_an_hour), by=(Kind.SUSPECT,)),
    *_all(32, ("snapshots of hosts that nobody has", lies.of_another_host), by=(Kind.SUSPECT,)),
    *_all(36, ("snapshots of impossible times", stops.impossible_times), by=(Kind.SUSPECT,)),
    *_all(37, ("dozens of strangers' keys", stops.strangers_keys), by=(Kind.NEW_KEY, Kind.GARBAGE)),
    *_all(38, ("keys that restic stops over", stops.unreadable_keys), by=(Kind.GARBAGE,)),
    *_all(38, ("snapshots that restic stops over", stops.unreadable_snapshots), by=(Kind.GARBAGE,)),
    *_all(38, ("names that lead restic astray", stops.names_that_lead_astray), by=(Kind.GARBAGE,)),
    *_all(39, ("texts of megabytes", stops.texts_of_megabytes), by=(Kind.SUSPECT,)),
    *_all(40, ("packs of impossible blobs", _bomb(bombs.pack_of_impossible_blobs)), by=(Kind.GARBAGE,)),
    *_all(40, ("an index of a million empty packs", _bomb(bombs.index_of_empty_packs)), by=(Kind.POISONED_INDEX,)),
    *_all(40, ("indexes of packs that are nowhere", _bomb(bombs.indexes_of_packs_that_are_nowhere)), by=(Kind.POISONED_INDEX,)),
)
"""Rows that take more than one night, or a run's own death, are scenarios of the tests."""
