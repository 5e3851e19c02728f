"""What the ledger knows of one key: a record, its states, and the text that it is kept as."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from functools import lru_cache
from sys import intern
from typing import Any, TypeAlias

from maintainer.core.moments import from_text, to_text


class State(Enum):
    """What a committed or admitting run said of an id. New is not recorded, and marked is observed."""

    ADMITTED = "admitted"
    INCOMPLETE = "incomplete"
    EVICTED = "evicted"
    DOOMED = "doomed"


ADOPTED = "adopted"
"""The reason of what was hidden before first contact: its markers are legitimate at once, and only a person takes it back."""


LEGAL: Mapping[State | None, frozenset[State]] = {
    None: frozenset(State),
    State.ADMITTED: frozenset({State.ADMITTED, State.DOOMED}),
    State.INCOMPLETE: frozenset({State.INCOMPLETE, State.ADMITTED}),
    State.DOOMED: frozenset({State.DOOMED, State.ADMITTED}),
    State.EVICTED: frozenset(),
}
"""What a run may make of a state. What a person may do besides: evict the incomplete, admit the evicted."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a snapshot reaches, in bytes of distinct data blobs, by the lengths in indexes that are proved.

    `base` is the size of its plausible predecessor when it was measured (0 without one), `shared` what of that it still reaches.
    `beside` names that predecessor by its date and id, in order of time. `why` says what of it is suspect. `held` is the size of an older
    plausible snapshot, which nobody has put within the probation before (0 without one), and `kept` what of that it still reaches.
    """

    size: int
    base: int = 0
    shared: int = 0
    beside: str = ""
    why: str = ""
    held: int = 0
    kept: int = 0


_OPTIONAL = ("held", "kept")
"""What version 0.1 wrote of no extent."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows of one key.

    `version` is the pinned version id (empty where none is current), `size` in bytes, `first_seen` the date of the oldest true version,
    `since` when this state began. `digest` is config's SHA-256; `indexes` the ids of the indexes that named a doomed pack; `ours` what a
    run of ours put; `suspect` why a snapshot may never count, if so; `extent` what a snapshot reaches, once it was measured; `trees` tells
    of a pack that it holds trees, and `unread` that it was taken back unread: the next check must read it. `again` is when an index named a
    doomed pack, for the first time since it was doomed.
    """

    state: State
    version: str
    size: int
    first_seen: datetime
    since: datetime
    reason: str = ""
    digest: str = ""
    indexes: tuple[str, ...] = ()
    ours: bool = False
    suspect: str = ""
    extent: Extent | None = None
    trees: bool = False
    unread: bool = False
    again: datetime | None = None


Text: TypeAlias = tuple[str, str]
"""A key, and a record's canonical text."""


class Records(MutableMapping[str, Record]):
    """Records by key, in any order. What holds very many of them finds some faster than by looking at each."""

    @abstractmethod
    def select(self, prefix: str = "", state: State | None = None) -> Iterator[tuple[str, Record]]:
        """Yield those whose key begins with `prefix`, and that are in this state; the records may change meanwhile."""

    def keys_in(self, prefix: str, state: State) -> Iterator[str]:
        """Yield the keys alone of what `select` would yield."""
        return (key for key, _ in self.select(prefix, state))

    def state_of(self, key: str) -> State | None:
        """Return the state of one; None where there is none."""
        return record.state if (record := self.get(key)) is not None else None

    def texts(self) -> Iterator[Text]:
        """Yield all as text, in the order of the keys; they may change meanwhile."""
        return iter([(key, write_record(self[key])) for key in sorted(self)])

    def put_texts(self, texts: Iterable[Text]) -> None:
        """Put what `texts` gave, here or elsewhere."""
        self.update((key, read_record(text)) for key, text in texts)


class RecordsInMemory(dict[str, Record], Records):
    """Records as a dict: for the few that commands and tests look at."""

    def select(self, prefix: str = "", state: State | None = None) -> Iterator[tuple[str, Record]]:
        """Yield some of them."""
        return iter([(key, one) for key, one in self.items() if key.startswith(prefix) and (state is None or one.state is state)])


def state_in(text: str) -> State:
    """Return the state that a record's canonical text tells, without reading all of it; ValueError if it tells none."""
    # A quotation mark within a value has a backslash before it: what stands so is the name of a field.
    begin = text.find(_STATE) + len(_STATE)
    return State(text[begin : text.find('"', begin)])


_STATE = ',"state":"'
"""It is never the first field: `first_seen` is before it."""


def write_record(record: Record) -> str:
    """Return a record's canonical text: JSON, and the same record always gives the same."""
    return json.dumps(raw_record(record), sort_keys=True, separators=(",", ":"))


_ALWAYS = ("state", "version", "size", "first_seen", "since")
"""What a record has even where it is empty or 0."""


def raw_record(record: Record) -> dict[str, Any]:
    """Return a record as JSON has it: what is empty is left out."""
    raw: dict[str, Any] = {
        "state": record.state.value,
        "version": record.version,
        "size": record.size,
        "first_seen": _text(record.first_seen),
        "since": _text(record.since),
    }
    optional = {
        "reason": record.reason,
        "digest": record.digest,
        "indexes": list(record.indexes),
        "ours": record.ours,
        "suspect": record.suspect,
        "extent": _raw_extent(record.extent) if record.extent else None,
        "trees": record.trees,
        "unread": record.unread,
        "again": _text(record.again) if record.again else None,
    }
    return {**raw, **{name: value for name, value in optional.items() if value}}


def _raw_extent(extent: Extent) -> dict[str, Any]:
    return {name: value for name, value in asdict(extent).items() if value or name not in _OPTIONAL}


_text = lru_cache(4096)(to_text)
"""The text of a moment: most of an entry's records share a few."""


@lru_cache(4096)
def _moment(text: str) -> datetime:
    """Return a moment: the same one for the same text, and most of an entry's records share a few."""
    return from_text(text)


def padded(text: str) -> str:
    """Return a ledger's text with four digits to each year: version 0.1 wrote years below 1000 without the zeros.

    A field's name in quotation marks can not stand in a value: there each mark has a backslash before it.
    """
    return _UNPADDED.sub(lambda found: f"{found[1]}{found[2]:0>4}-", text)


_UNPADDED = re.compile(r'("(?:first_seen|since)":")(\d{1,3})-')


def read_record(text: str) -> Record:
    """Return the record of a canonical text; ValueError, KeyError or TypeError for what `write_record` would not have made."""
    return record_of(json.loads(text))


def record_of(raw: dict[str, Any]) -> Record:
    """Return the record that JSON has so."""
    if not all(value for name, value in raw.items() if name not in _ALWAYS):
        raise ValueError("a record says what it need not say")
    return Record(
        **{
            **raw,
            "state": State(raw["state"]),
            "first_seen": _moment(raw["first_seen"]),
            "since": _moment(raw["since"]),
            "reason": intern(raw.get("reason", "")),
            "indexes": tuple(raw.get("indexes", ())),
            "extent": Extent(**raw["extent"]) if "extent" in raw else None,
            "again": _moment(raw["again"]) if "again" in raw else None,
        }
    )
