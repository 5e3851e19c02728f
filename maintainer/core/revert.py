"""What must be done so that a bucket shows what committed runs and honest hosts left there: the plan, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from maintainer.core.repofiles import FileType
from maintainer.core.versions import Classification, Digests, KeyHistory, ObjectVersion, Truth, Unreadable, VersionRef, classify


class FindingKind(Enum):
    """What a person should know of; the value is the sentence."""

    OVERWRITTEN = "overwritten"
    DELETED = "deleted by nobody of ours"
    JUNK = "content that does not hash to its name"
    REPLAYED = "uploaded again after an honest prune"
    AMBIGUOUS = "no version hashes to the name"
    UNREADABLE = "the current version can not be read"
    FOREIGN_NAME = "not a file of restic"
    NEW_KEY = "a key file that was not there before"
    SNAPSHOT_DELETED = "deleted before first contact"


@dataclass(frozen=True, slots=True)
class Heal:
    """Write `version` of `key` on top, by a copy. `over` is the false version or marker that it covers: the evidence."""

    key: str
    version_id: str
    over: str
    why: FindingKind


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Cover `key` by a delete marker, which the run journals. `version_id` is the version covered: the evidence."""

    key: str
    version_id: str
    why: FindingKind


@dataclass(frozen=True, slots=True)
class Finding:
    """Something to report, which is nothing to do by itself."""

    kind: FindingKind
    key: str
    version_id: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """All that revert will do, and the markers of before first contact that it takes over once the check has passed."""

    heal: tuple[Heal, ...] = ()
    quarantine: tuple[Quarantine, ...] = ()
    findings: tuple[Finding, ...] = ()
    adopted: tuple[VersionRef, ...] = ()
    deleted_before: tuple[Heal, ...] = ()
    """At first contact: what would bring deleted packs, indexes and snapshots back, for the caller to decide with restic's help."""

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to do to the bucket."""
        return not self.heal and not self.quarantine


@dataclass(frozen=True, slots=True)
class Trusted:
    """What earlier committed runs know of the repository."""

    journal: frozenset[VersionRef] = frozenset()
    config_digest: str | None = None
    keys: frozenset[str] = frozenset()
    first_contact: bool = True


_PINNED_OR_LOCK = frozenset({FileType.CONFIG, FileType.KEY, FileType.LOCK})


def plan_revert(histories: Iterable[KeyHistory], digests: Digests, trusted: Trusted) -> RevertPlan:  # noqa: C901 - one case a truth reads as the table it is
    """Decide for every key. Order within each tuple is the listing's. No plan deletes a version: there is no such action."""
    heal: list[Heal] = []
    quarantine: list[Quarantine] = []
    findings: list[Finding] = []
    adopted: list[VersionRef] = []
    deleted_before: list[Heal] = []
    for history in histories:
        verdict = classify(history, digests, trusted.journal, trusted.config_digest)
        current = history.current
        file = history.file
        match verdict.truth:
            case Truth.OVERWRITTEN:
                heal.append(_heal(history, verdict, _why_covered(current, digests)))
            case Truth.DELETED if trusted.first_contact and file is not None and file.type not in _PINNED_OR_LOCK:
                deleted_before.append(_heal(history, verdict, FindingKind.DELETED))
                adopted.extend(_markers(history))
            case Truth.DELETED:
                heal.append(_heal(history, verdict, FindingKind.DELETED))
            case Truth.JUNK:
                quarantine.append(Quarantine(history.key, current.version_id, FindingKind.JUNK))
            case Truth.REPLAYED if file is not None and file.type in (FileType.SNAPSHOT, FileType.INDEX, FileType.KEY):
                quarantine.append(Quarantine(history.key, current.version_id, FindingKind.REPLAYED))
            case Truth.AMBIGUOUS:
                unreadable = digests.get(current.ref)
                kind = FindingKind.UNREADABLE if isinstance(unreadable, Unreadable) else FindingKind.AMBIGUOUS
                findings.append(
                    Finding(kind, history.key, current.version_id, unreadable.value if isinstance(unreadable, Unreadable) else "")
                )
            case Truth.FOREIGN if not current.is_marker:
                findings.append(Finding(FindingKind.FOREIGN_NAME, history.key, current.version_id))
            case Truth.ABSENT if trusted.first_contact:
                adopted.extend(_markers(history))
            case _:
                pass
        if _is_new_key(history, verdict, trusted):
            findings.append(Finding(FindingKind.NEW_KEY, history.key, current.version_id, "whoever made it can read the repository"))
    return RevertPlan(tuple(heal), tuple(quarantine), tuple(findings), tuple(adopted), tuple(deleted_before))


def pin_config(history: KeyHistory, digests: Digests) -> str | None:
    """Return the digest to pin at first contact: of the oldest readable version, since whoever may only put can only add on top."""
    for version in reversed(history.versions):
        digest = digests.get(version.ref)
        if isinstance(digest, str):
            return digest
    return None


def _heal(history: KeyHistory, verdict: Classification, why: FindingKind) -> Heal:
    if verdict.true_version is None:
        raise ValueError(f"{history.key}: nothing true to heal from")
    return Heal(history.key, verdict.true_version.version_id, history.current.version_id, why)


def _why_covered(current: ObjectVersion, digests: Digests) -> FindingKind:
    return FindingKind.UNREADABLE if isinstance(digests.get(current.ref), Unreadable) else FindingKind.OVERWRITTEN


def _markers(history: KeyHistory) -> list[VersionRef]:
    return [version.ref for version in history.versions if version.is_marker]


def _is_new_key(history: KeyHistory, verdict: Classification, trusted: Trusted) -> bool:
    file = history.file
    if trusted.first_contact or file is None or file.type is not FileType.KEY or history.current.is_marker:
        return False
    return verdict.truth is Truth.INTACT and file.id not in trusted.keys
