"""Findings: what a person should know of, each with an identity that lasts from run to run, and a state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What was found; the value is its name in events, the ledger and `maintainer ack`."""

    OVERWRITTEN = "overwritten"
    NOT_PLAIN = "not-plain"
    HIDDEN = "hidden"
    REPLAYED = "replayed"
    GARBAGE = "garbage"
    LOST = "lost"
    UNREADABLE = "unreadable"
    UNDECIDED = "undecided"
    FOREIGN_NAME = "foreign-name"
    NEW_KEY = "new-key"
    SUSPECT = "suspect-snapshot"
    INCOMPLETE = "incomplete-snapshot"
    LATE = "late"
    EXPIRES = "evidence-expires"
    HIDDEN_BEFORE = "hidden-before-first-contact"
    CONFIRM = "confirm-repository"
    UNTRUSTED_INDEX = "index-names-doomed-packs"
    POISONED_INDEX = "poisoned-index"


WHAT_TO_DO: Mapping[Kind, str] = {
    Kind.OVERWRITTEN: "healed; find out who wrote it, and change the host's keys",
    Kind.NOT_PLAIN: "healed to plain headers; find out who wrote it",
    Kind.HIDDEN: "healed; take the right to delete from the host's policy",
    Kind.REPLAYED: "kept out of the view and marked again; find out who put it back",
    Kind.GARBAGE: "evicted; the versions are kept as evidence. `maintainer undelete` takes an object back",
    Kind.LOST: "no version is true: `maintainer show` the versions, and restore this object from the host's local repository",
    Kind.UNREADABLE: "give the maintenance identity the right to read it, or restore it from the archive class",
    Kind.UNDECIDED: "it has more versions than one run hashes, and none of these was true; nothing relies on it: move it away",
    Kind.FOREIGN_NAME: "not a file of restic: move it out of the repository's prefix",
    Kind.NEW_KEY: "if you added it: `maintainer accept REPOSITORY ID`; if not: whoever made it can read the repository",
    Kind.SUSPECT: "kept, and never the reason to forget another; if good `maintainer endorse REPOSITORY ID`, else `maintainer reject`",
    Kind.EXPIRES: "let the lifecycle rule take only versions with the tag maintainer=released; where the store has no tags, "
    "make its days more than you need to notice and answer an attack",
    Kind.LATE: "backups have stopped, or come and are not plausible: look at the host. Nothing of it is forgotten meanwhile",
    Kind.INCOMPLETE: "the snapshot lacks data: back this host up again now. `maintainer reject REPOSITORY ID` lets it go",
    Kind.HIDDEN_BEFORE: "`maintainer undelete REPOSITORY ID…` brings them back, `maintainer accept REPOSITORY` lets them go",
    Kind.CONFIRM: "are these your hosts and paths? Then: `maintainer accept REPOSITORY`. Until then nothing is forgotten",
    Kind.POISONED_INDEX: "evicted, and an index of ours names what the packs really hold. Unless another program than restic wrote it, "
    "the host is in somebody else's hands: take it off the network",
    Kind.UNTRUSTED_INDEX: "evicted, and what it says of the other packs is in an index of ours; look at who ran restic on the host",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `subject` is the object or cause; `evidence` what was seen last (a version id): newer evidence makes it new again."""

    kind: Kind
    subject: str
    detail: str = ""
    evidence: str = ""

    @property
    def identity(self) -> str:
        """Return what names this finding within its repository from run to run."""
        return f"{self.kind.value}:{self.subject}"


class Standing(Enum):
    """Where a finding stands."""

    NEW = "new"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Reported:
    """A finding as the ledger keeps it: since when (RFC 3339), where it stands, and of a bundle who is in it.

    `members` are their fingerprints, in order: or none, where an entry says the same of it as the one before.
    """

    finding: Finding
    since: str
    standing: Standing
    members: bytes = b""


LIMIT_OF_A_KIND = 100
"""Beyond this many of a kind, one finding stands for all of them: a bundle."""
MANY = "many objects"
"""A bundle's subject."""
_FINGERPRINT = 8
"""Bytes. What is found has an identity and a version id that its author does not choose: nobody finds another of the same fingerprint."""


def settle(known: Mapping[str, Reported], found: Iterable[Finding], acknowledged: frozenset[str], *, now: str) -> dict[str, Reported]:
    """Say where every finding stands after a run that found `found`: by identity, the gone ones last seen in this run only.

    What was reported and is found again with the same evidence is open or acknowledged; newer evidence makes it new, whatever it was.
    A bundle is new when anything in it is; and stays one as long as anything is left of it, so that this is no news.
    """
    settled: dict[str, Reported] = {}
    by_kind: dict[Kind, list[Finding]] = {}
    for finding in {finding.identity: finding for finding in found}.values():
        by_kind.setdefault(finding.kind, []).append(finding)
    bundled: set[str] = set()
    for kind, findings in by_kind.items():
        before = known.get(f"{kind.value}:{MANY}")
        if len(findings) > LIMIT_OF_A_KIND or (before is not None and before.standing is not Standing.GONE):
            bundled |= {finding.identity for finding in findings}
            told = [_bundle(findings, before, known)]
        else:
            told = [(finding, b"", _is_news(finding, known)) for finding in findings]
        for finding, members, is_news in told:
            earlier = known.get(finding.identity)
            since = now if earlier is None or earlier.standing is Standing.GONE else earlier.since
            standing = Standing.NEW if is_news else Standing.ACKNOWLEDGED if finding.identity in acknowledged else Standing.OPEN
            settled[finding.identity] = Reported(finding, since, standing, members)
    for identity, reported in known.items():
        if identity not in settled and identity not in bundled and reported.standing is not Standing.GONE:
            settled[identity] = replace(reported, standing=Standing.GONE)
    return settled


def abridged(findings: Iterable[Reported], before: Mapping[str, Reported]) -> tuple[Reported, ...]:
    """Leave out the members of bundles that are the same in the entry before: what is open for a year is written once."""
    return tuple(replace(one, members=b"") if one.members and one.members == _members(before, one) else one for one in findings)


def unabridged(findings: Iterable[Reported], before: Mapping[str, Reported]) -> dict[str, Reported]:
    """Return findings by identity, with the members that were left out."""
    return {
        one.finding.identity: replace(one, members=one.members or _members(before, one)) if one.finding.subject == MANY else one
        for one in findings
    }


def _members(known: Mapping[str, Reported], one: Reported) -> bytes:
    return known[one.finding.identity].members if one.finding.identity in known else b""


def _is_news(finding: Finding, known: Mapping[str, Reported]) -> bool:
    before = known.get(finding.identity)
    return before is None or before.standing is Standing.GONE or before.finding.evidence != finding.evidence


def _bundle(findings: Sequence[Finding], before: Reported | None, known: Mapping[str, Reported]) -> tuple[Finding, bytes, bool]:
    """Return one finding for many, who is in it, and whether anything of it is news."""
    prints = {_fingerprint(finding): finding for finding in findings}
    members = before.members if before is not None and before.standing is not Standing.GONE else b""
    known_members = {members[at : at + _FINGERPRINT] for at in range(0, len(members), _FINGERPRINT)}
    news = [finding for fingerprint, finding in prints.items() if fingerprint not in known_members and _is_news(finding, known)]
    example = min(finding.subject for finding in news or findings)
    count = f"{len(news)} new of {len(findings)}" if news and len(news) < len(findings) else f"{len(findings)}"
    return Finding(findings[0].kind, MANY, f"{count}, for example {example}"), b"".join(sorted(prints)), bool(news)


def _fingerprint(finding: Finding) -> bytes:
    return hashlib.sha256(f"{finding.identity}\0{finding.evidence}".encode("utf-8", "surrogateescape")).digest()[:_FINGERPRINT]
