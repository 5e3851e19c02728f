"""The ledger: an append-only chain of entries, each naming its predecessor's digest, and the journal that they add up to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from maintainer.core.errors import LedgerError
from maintainer.core.versions import VersionRef

VERSION = 1
GENESIS = "0" * 64
"""What the first entry names as its predecessor."""


@dataclass(frozen=True, slots=True)
class Endorsed:
    """A snapshot that a run saw: `first_seen` and `time` are RFC 3339; `suspect` holds the reasons, none for an endorsed one."""

    id: str
    first_seen: str
    time: str
    host: str
    paths: tuple[str, ...]
    suspect: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the check that let a run commit had read."""

    packs: int
    bytes: int
    read_all: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What one committed run adds.

    `journal` names the delete markers that it wrote or took over; `verified` the versions whose content it hashed and found true;
    `config_digest` and `keys` are pinned by the first entry and carried on; `snapshots` are all that remain.
    """

    number: int
    previous: str
    run_id: str
    fencing: int
    committed: str
    config_digest: str
    keys: tuple[str, ...]
    journal: tuple[VersionRef, ...]
    verified: tuple[VersionRef, ...]
    snapshots: tuple[Endorsed, ...]
    coverage: Coverage

    def encode(self) -> bytes:
        """Write the entry canonically: the same entry gives the same bytes, on which its digest rests."""
        return json.dumps({"v": VERSION, **asdict(self)}, sort_keys=True, separators=(",", ":")).encode()

    def digest(self) -> str:
        """Return the SHA-256 in hex of the canonical bytes."""
        return hashlib.sha256(self.encode()).hexdigest()


def decode(body: bytes) -> Entry:
    """Read an entry; LedgerError for anything else."""
    try:
        raw: dict[str, Any] = json.loads(body)
        if raw.pop("v") != VERSION:
            raise ValueError("version")
        snapshots = tuple(Endorsed(**{**s, "paths": tuple(s["paths"]), "suspect": tuple(s["suspect"])}) for s in raw.pop("snapshots"))
        entry = Entry(
            **{
                **raw,
                "keys": tuple(raw["keys"]),
                "journal": tuple((key, version) for key, version in raw["journal"]),
                "verified": tuple((key, version) for key, version in raw["verified"]),
                "snapshots": snapshots,
                "coverage": Coverage(**raw["coverage"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise broken(f"an entry is unreadable ({error})") from error
    if entry.encode() != body:
        raise broken(f"entry {entry.number} is not in canonical form: it was altered")
    return entry


def broken(what: str) -> LedgerError:
    """Return the error for a chain that does not hold."""
    return LedgerError(
        f"ledger: {what}",
        guidance="nothing is deleted until a person has looked: compare the state store's object versions, then restore the altered entry",
    )


@dataclass(frozen=True, slots=True)
class Ledger:
    """A verified chain. Empty before first contact."""

    entries: tuple[Entry, ...] = ()

    @property
    def is_first_contact(self) -> bool:
        """Tell whether no run has ever committed."""
        return not self.entries

    @property
    def journal(self) -> frozenset[VersionRef]:
        """Return every delete marker that a committed run answers for."""
        return frozenset(ref for entry in self.entries for ref in entry.journal)

    @property
    def verified(self) -> frozenset[VersionRef]:
        """Return every version that was hashed once and found true."""
        return frozenset(ref for entry in self.entries for ref in entry.verified)

    @property
    def config_digest(self) -> str | None:
        """Return the pinned SHA-256 of config."""
        return self.entries[-1].config_digest if self.entries else None

    @property
    def keys(self) -> frozenset[str]:
        """Return the pinned key ids."""
        return frozenset(self.entries[-1].keys) if self.entries else frozenset()

    @property
    def snapshots(self) -> dict[str, Endorsed]:
        """Return what the last run knew of the snapshots, by id."""
        return {snapshot.id: snapshot for snapshot in self.entries[-1].snapshots} if self.entries else {}

    @property
    def head(self) -> tuple[int, str]:
        """Return the number and predecessor's digest that the next entry must carry."""
        return (self.entries[-1].number + 1, self.entries[-1].digest()) if self.entries else (1, GENESIS)


def verify(entries: Iterable[Entry]) -> Ledger:
    """Check numbers and chain of entries in order; LedgerError at the first that does not follow."""
    held: list[Entry] = []
    previous = GENESIS
    for number, entry in enumerate(entries, start=1):
        if entry.number != number:
            raise broken(f"entry {number} is missing (found {entry.number})")
        if entry.previous != previous:
            raise broken(f"entry {number} does not follow from entry {number - 1}")
        previous = entry.digest()
        held.append(entry)
    return Ledger(tuple(held))
