"""The ledger's links: entries of runs and judgements of people, as frozen values and as canonical bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from functools import lru_cache
from sys import intern
from typing import Any, TypeAlias

from maintainer.core.errors import LedgerError
from maintainer.core.findings import Finding, Kind, Reported, Standing
from maintainer.core.moments import from_text, to_text

VERSION = 1
GENESIS = "0" * 64
NOT_CANONICAL = "not in canonical form: it was altered"
"""What the first entry, and the first judgement, name as their predecessor."""


class State(Enum):
    """What a committed or admitting run said of an id. New is not recorded, and marked is observed."""

    ADMITTED = "admitted"
    INCOMPLETE = "incomplete"
    EVICTED = "evicted"
    DOOMED = "doomed"


ADOPTED = "adopted"
"""The reason of what was hidden before first contact: its markers are legitimate at once, and only a person takes it back."""

CONFIG_AT = "config@"
"""How the subject of a judgement begins that accepts a changed config; its version id follows."""
GROUP_AT = "group@"
"""How one begins that confirms a host and its paths: named here, so that what is confirmed is what the person saw."""
REPOSITORY = "repository"
"""The subject that lets the policy apply, and what was hidden before first contact go."""
UNDELETED = "undeleted by "
"""How a snapshot's `suspect` begins that a person took back: kept, never counting, and no finding."""
REJECTED = "rejected by "
"""How a snapshot's reason begins that a person let go."""
RETIRED = "retired by "
"""How a key's does."""

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
    `beside` names that predecessor by its date and id, in order of time. `why` says what of it is suspect.
    """

    size: int
    base: int = 0
    shared: int = 0
    beside: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What the ledger knows of one key.

    `version` is the pinned version id (empty where none is current), `size` in bytes, `first_seen` the date of the oldest true version,
    `since` when this state began. `digest` is config's SHA-256; `indexes` the ids of the indexes that named a doomed pack; `ours` what a
    run of ours put; `suspect` why a snapshot may never count, if so; `extent` what a snapshot reaches, once it was measured; `trees` tells
    of a pack that it holds trees.
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


Group: TypeAlias = tuple[str, tuple[str, ...]]
"""A host and its paths, as restic groups snapshots."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Kinds: `first` (identity and pins, before any write), `admission`, `commit`.

    `judgements` is how many judgements it has folded. `observed` are the hosts and paths that a person is asked to confirm.
    `checked` says what the check before a commit had read, and `findings` is where every finding stands after it. `released` are the
    version ids, by key, that may expire from this commit on.
    """

    sequence: int
    previous: str
    kind: str
    run_id: str
    at: str
    repository: str
    changes: Mapping[str, Record] = field(default_factory=dict)
    judgements: int = 0
    observed: tuple[Group, ...] = ()
    findings: tuple[Reported, ...] = ()
    checked: Mapping[str, int] = field(default_factory=dict)
    released: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Write the entry canonically: the same entry gives the same bytes, on which its digest rests."""
        raw = {
            "v": VERSION,
            "sequence": self.sequence,
            "previous": self.previous,
            "kind": self.kind,
            "run_id": self.run_id,
            "at": self.at,
            "repository": self.repository,
            "judgements": self.judgements,
            "observed": [[host, list(paths)] for host, paths in self.observed],
            "findings": [_write_reported(reported) for reported in self.findings],
            "checked": dict(self.checked),
            "released": {key: list(versions) for key, versions in self.released.items()},
        }
        written = bytearray()
        for piece in _pieces(raw, ((key, _write_record(self.changes[key])) for key in sorted(self.changes))):
            written += piece
        return bytes(written)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person decided: `accept` (its subjects name what), `endorse`, `reject`, `undelete` (keys), `ack` (identities of findings)."""

    number: int
    previous: str
    at: str
    who: str
    action: str
    subjects: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Write the judgement canonically."""
        return _write({"v": VERSION, **asdict(self)}).encode()


def digest(body: bytes) -> str:
    """Return the SHA-256 in hex by which the next link names this one."""
    return hashlib.sha256(body).hexdigest()


def decode_entry(body: bytes) -> Entry:
    """Read an entry; LedgerError for anything that `encode` would not have written."""
    try:
        raw = _load(body)
        changes = raw.pop("changes")
        if not _is_canonical(body, {"v": VERSION, **raw}, changes):
            raise ValueError(NOT_CANONICAL)
        entry = Entry(
            **{
                **raw,
                # Taken out as they are read: both at once would be most of what a run needs.
                "changes": {key: _read_record(changes.pop(key)) for key in list(changes)},
                "observed": tuple((host, tuple(paths)) for host, paths in raw["observed"]),
                "findings": tuple(_read_reported(reported) for reported in raw["findings"]),
                "released": {key: tuple(versions) for key, versions in raw["released"].items()},
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(f"an entry is unreadable ({error})") from error
    return entry


def decode_judgement(body: bytes) -> Judgement:
    """Read a judgement; LedgerError for anything that `encode` would not have written."""
    try:
        raw = _load(body)
        if _write({"v": VERSION, **raw}).encode() != body:
            raise ValueError(NOT_CANONICAL)
        judgement = Judgement(**{**raw, "subjects": tuple(raw["subjects"])})
    except (ValueError, KeyError, TypeError) as error:
        raise broken(f"a judgement is unreadable ({error})") from error
    return judgement


def broken(what: str) -> LedgerError:
    """Return the error for a chain that does not hold."""
    return LedgerError(
        f"ledger: {what}",
        guidance="nothing is deleted until a person has looked: compare the object versions in the state store (maintainer ledger verify)",
    )


def accept_subjects(observed: Iterable[Group]) -> tuple[str, ...]:
    """Return the subjects of a judgement that accepts a repository with these hosts and paths."""
    return (REPOSITORY, *(f"{GROUP_AT}{json.dumps([host, list(paths)])}" for host, paths in observed))


def judgements_head(bodies: Sequence[bytes]) -> tuple[int, str]:
    """Return the number of the next judgement and its predecessor's digest."""
    return (len(bodies), digest(bodies[-1]) if bodies else GENESIS)


def _pieces(raw: Mapping[str, Any], changes: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[bytes]:
    """Yield an entry in canonical form, record by record: there may be a million, and each takes ten times its text meanwhile."""
    begin = "{"
    for name in sorted([*raw, "changes"]):
        yield f'{begin}"{name}":'.encode()
        begin = ","
        if name != "changes":
            yield _write(raw[name]).encode()
            continue
        open_with = "{"
        for key, record in changes:
            yield f"{open_with}{_write(key)}:{_write(record)}".encode()
            open_with = ","
        yield b"{}" if open_with == "{" else b"}"
    yield b"}"


def _is_canonical(body: bytes, raw: Mapping[str, Any], changes: Mapping[str, dict[str, Any]]) -> bool:
    at = 0
    for piece in _pieces(raw, ((key, changes[key]) for key in sorted(changes))):
        if not body.startswith(piece, at):
            return False
        at += len(piece)
    return at == len(body)


def _write(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _load(body: bytes) -> dict[str, Any]:
    raw = json.loads(body)
    if not isinstance(raw, dict) or raw.pop("v") != VERSION:
        raise ValueError("not of this version")
    return raw


_ALWAYS = ("state", "version", "size", "first_seen", "since")
"""What a record has even where it is empty or 0."""


def _write_record(record: Record) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "state": record.state.value,
        "version": record.version,
        "size": record.size,
        "first_seen": to_text(record.first_seen),
        "since": to_text(record.since),
    }
    optional = {
        "reason": record.reason,
        "digest": record.digest,
        "indexes": list(record.indexes),
        "ours": record.ours,
        "suspect": record.suspect,
        "extent": asdict(record.extent) if record.extent else None,
        "trees": record.trees,
    }
    return {**raw, **{name: value for name, value in optional.items() if value}}


@lru_cache(4096)
def _moment(text: str) -> datetime:
    """Return a moment: the same one for the same text, since most of an entry's records share a few."""
    return from_text(text)


def _read_record(raw: dict[str, Any]) -> Record:
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
        }
    )


def _write_reported(reported: Reported) -> dict[str, str]:
    finding = reported.finding
    return {
        "kind": finding.kind.value,
        "subject": finding.subject,
        "detail": finding.detail,
        "evidence": finding.evidence,
        "since": reported.since,
        "standing": reported.standing.value,
        **({"members": base64.b64encode(reported.members).decode()} if reported.members else {}),
    }


def _read_reported(raw: dict[str, str]) -> Reported:
    finding = Finding(Kind(raw["kind"]), raw["subject"], raw["detail"], raw["evidence"])
    return Reported(finding, raw["since"], Standing(raw["standing"]), base64.b64decode(raw.get("members", "")))
