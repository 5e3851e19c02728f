"""Findings: what a person should know of, each with an identity that lasts from run to run, and a state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """A finding as the ledger keeps it: since when (RFC 3339), and where it stands."""

    finding: Finding
    since: str
    standing: Standing


LIMIT_OF_A_KIND = 100
"""Beyond this many of a kind, one finding carries their count."""


def bundle(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Drop repeats, and put one finding in the place of more than LIMIT_OF_A_KIND of a kind; sorted by identity."""
    unique = {finding.identity: finding for finding in found}
    by_kind: dict[Kind, list[Finding]] = {}
    for finding in unique.values():
        by_kind.setdefault(finding.kind, []).append(finding)
    kept: list[Finding] = []
    for kind, findings in by_kind.items():
        if len(findings) <= LIMIT_OF_A_KIND:
            kept.extend(findings)
        else:
            example = min(finding.subject for finding in findings)
            kept.append(Finding(kind, f"{len(findings)} objects", f"for example {example}", max(f.evidence for f in findings)))
    return tuple(sorted(kept, key=lambda finding: finding.identity))


def settle(known: Mapping[str, Reported], found: Iterable[Finding], acknowledged: frozenset[str], *, now: str) -> dict[str, Reported]:
    """Say where every finding stands after a run that found `found`: by identity, the gone ones last seen in this run only.

    What was reported and is found again with the same evidence is open or acknowledged; newer evidence makes it new, whatever it was.
    """
    settled: dict[str, Reported] = {}
    for finding in bundle(found):
        before = known.get(finding.identity)
        if before is None or before.standing is Standing.GONE:
            settled[finding.identity] = Reported(finding, now, Standing.NEW)
        elif before.finding.evidence != finding.evidence:
            settled[finding.identity] = Reported(finding, before.since, Standing.NEW)
        else:
            standing = Standing.ACKNOWLEDGED if finding.identity in acknowledged else Standing.OPEN
            settled[finding.identity] = Reported(finding, before.since, standing)
    for identity, before in known.items():
        if identity not in settled and before.standing is not Standing.GONE:
            settled[identity] = replace(before, standing=Standing.GONE)
    return settled
