"""The ledger's links: entries of runs and judgements of people, as frozen values and as canonical bytes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, TypeAlias

from maintainer.core.errors import LedgerError
from maintainer.core.findings import Finding, Kind, Reported, Standing
from maintainer.core.records import Record, padded, raw_record, record_of

VERSION = 1
GENESIS = "0" * 64
"""What the first entry, and the first judgement, name as their predecessor."""
NOT_CANONICAL = "not in canonical form: it was altered"

CONFIG_AT = "config@"
"""How the subject of a judgement begins that accepts a changed config; its version id follows."""
GROUP_AT = "group@"
"""How one begins that confirms a host and its paths: named here, so that what is confirmed is what the person saw."""
READING_AT = "reading:"
"""How one begins that says which repository lies here, before any run has pinned it; a code follows (`agent.readings`)."""
REPOSITORY = "repository"
"""The subject that lets the policy apply, and what was hidden before first contact go."""
UNDECIDED, UNOPENED = LET_GO = ("undecided", "unopened")
"""Subjects of `reject` that mean all of a kind which is there at that moment, by the store's dates."""
UNDELETED = "undeleted by "
"""How a snapshot's `suspect` begins that a person took back: kept, never counting, and no finding."""
REJECTED = "rejected by "
"""How a snapshot's reason begins that a person let go."""
RETIRED = "retired by "
"""How a key's does."""


class Segment(NamedTuple):
    """Lines beside the ledger: the SHA-256 of their text, in hex, by which it lies there, and how many they are."""

    name: str
    records: int


Group: TypeAlias = tuple[str, tuple[str, ...]]
"""A host and its paths, as restic groups snapshots."""


_NAMED = ("segments", "base", "released_in", "base_released")
"""What an entry names beside it; it is written only where there is any."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Kinds: `first` (identity and pins, before any write), `admission`, `commit`.

    `judgements` is how many judgements it has folded. `observed` are the hosts and paths that a person is asked to confirm.
    `checked` says what the check before a commit had read, and `findings` is where every finding stands after it. `released` are the
    version ids, by key, that may expire from this commit on. `segments` names where the changes are that are too many to be here, and
    `released_in` where what is released is. `base` and `base_released` name where all records are as this entry leaves them, and what
    was released before it, if it says so (`core.segments`).
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
    segments: tuple[Segment, ...] = ()
    base: tuple[Segment, ...] = ()
    released_in: tuple[Segment, ...] = ()
    base_released: tuple[Segment, ...] = ()

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
            "changes": {key: raw_record(record) for key, record in self.changes.items()},
            **{name: named for name in _NAMED if (named := getattr(self, name))},
        }
        return _write(raw).encode()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person decided.

    It is `accept` (its subjects name what), `endorse`, `reject`, `undelete` (keys), `ack` (identities of findings), or
    `rebase` (keys of what earlier ledgers left in the repository, as the person saw them).
    """

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
        text = padded(body.decode())
        raw = _load(text)
        entry = Entry(
            **{
                **raw,
                "changes": {key: record_of(record) for key, record in raw["changes"].items()},
                "observed": tuple((host, tuple(paths)) for host, paths in raw["observed"]),
                "findings": tuple(_read_reported(reported) for reported in raw["findings"]),
                "released": {key: tuple(versions) for key, versions in raw["released"].items()},
                **{name: tuple(Segment(*one) for one in raw.get(name, ())) for name in _NAMED},
            }
        )
        if entry.encode() != text.encode():
            raise ValueError(NOT_CANONICAL)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise broken(f"an entry is unreadable ({error})") from error
    return entry


def decode_judgement(body: bytes) -> Judgement:
    """Read a judgement; LedgerError for anything that `encode` would not have written."""
    try:
        raw = _load(body.decode())
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
    return (REPOSITORY, *map(group_subject, observed))


def group_subject(group: Group) -> str:
    """Return the subject of a judgement that confirms a host and its paths."""
    host, paths = group
    return f"{GROUP_AT}{json.dumps([host, list(paths)])}"


def judgements_head(bodies: Sequence[bytes]) -> tuple[int, str]:
    """Return the number of the next judgement and its predecessor's digest."""
    return (len(bodies), digest(bodies[-1]) if bodies else GENESIS)


def _write(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _load(text: str) -> dict[str, Any]:
    raw = json.loads(text)
    if not isinstance(raw, dict) or raw.pop("v") != VERSION:
        raise ValueError("not of this version")
    return raw


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
