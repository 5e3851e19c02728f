"""Findings: what a person should know of, each with an identity that lasts from run to run, and a state."""

from __future__ import annotations

import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from operator import attrgetter

from maintainer.core import abridging
from maintainer.core.suspicion import suspicion


class Kind(Enum):
    """What was found; the value is its name in events, the ledger and `maintainer ack`."""

    OVERWRITTEN = "overwritten"
    MIGRATED = "migrated"
    NOT_PLAIN = "not-plain"
    HIDDEN = "hidden"
    REPLAYED = "replayed"
    GARBAGE = "garbage"
    LOST = "lost"
    UNREADABLE = "unreadable"
    UNDECIDED = "undecided"
    FOREIGN_NAME = "foreign-name"
    FOREIGN_STATE = "foreign-state"
    NEW_KEY = "new-key"
    SUSPECT = "suspect-snapshot"
    INCOMPLETE = "incomplete-snapshot"
    LATE = "late"
    OVER = "kept-long-enough"
    EXPIRES = "evidence-expires"
    MIGHT_EXPIRE = "tagged-released"
    HIDDEN_BEFORE = "hidden-before-first-contact"
    CONFIRM = "confirm-repository"
    EARLIER_REPOSITORY = "earlier-repository"
    EARLIER_LEDGER = "earlier-ledger"
    UNTRUSTED_INDEX = "index-names-doomed-packs"
    POISONED_INDEX = "poisoned-index"
    PARTIAL_INDEX = "partial-index"
    FOREIGN_INDEX = "foreign-index"
    DAMAGED_INDEX = "index-of-missing-packs"
    UNOPENED = "unopened"
    DAMAGED_PACK = "damaged-pack"
    INDEX_OF_DAMAGED = "index-of-damaged-packs"
    TOO_LARGE = "too-large-to-judge"
    UNREADABLE_INDEX = "index-of-unreadable-packs"


WHAT_TO_DO: Mapping[Kind, str] = {
    Kind.OVERWRITTEN: "healed; find out who wrote it, and change the host's keys",
    Kind.MIGRATED: "if you ran `restic migrate upgrade_repo_v2`: `maintainer accept REPOSITORY config`; if not: somebody has its password. "
    "The repository is maintained either way",
    Kind.NOT_PLAIN: "healed to plain headers; find out who wrote it",
    Kind.HIDDEN: "healed; take the right to delete from the host's policy",
    Kind.REPLAYED: "kept out of the view and marked again; find out who put it back",
    Kind.GARBAGE: "evicted; the versions are kept as evidence. `maintainer undelete` takes an object back",
    Kind.LOST: "no version of it is true: restore it from the host's local repository. What it was: `maintainer ledger show`",
    Kind.UNREADABLE: "give the maintenance identity the right to read it, or restore it from the archive class",
    Kind.UNDECIDED: "it could not be judged in one run, for want of a true version among many, or for what it says; nothing relies on it. "
    "Each night looks at more of it; `maintainer reject REPOSITORY undecided` lets all such files go",
    Kind.FOREIGN_NAME: "not a file of restic: move it out of the repository's prefix",
    Kind.FOREIGN_STATE: "ignored: none of maintainer's, in the state store, where only maintainer may write: find out who else can",
    Kind.NEW_KEY: "if you added it: `maintainer accept REPOSITORY ID`; if not: whoever made it can read the repository. Change the "
    "host's keys; `maintainer rebuild` makes a repository of a new master key",
    Kind.SUSPECT: "kept, and never the reason to forget another; if good `maintainer endorse REPOSITORY ID`, "
    "else `maintainer reject`; if its host is new, and yours: `maintainer accept REPOSITORY HOST`",
    Kind.EXPIRES: "let the lifecycle rule take only versions with the tag maintainer=released; where the store has no tags, "
    "make its days more than you need to notice and answer an attack",
    Kind.MIGHT_EXPIRE: "no run of ours set it, and it is taken off: find out who may tag versions, and take that right away",
    Kind.LATE: "backups have stopped, come and are not plausible, or are skipped where nothing changed (`--skip-if-unchanged`): "
    "look at the host. Nothing of it is forgotten meanwhile",
    Kind.OVER: "take it out of the configuration, and let the storage administrator delete it; or keep it longer: "
    "`maintainer retire REPOSITORY --until DATE`",
    Kind.INCOMPLETE: "the snapshot lacks data: back this host up again now. `maintainer reject REPOSITORY ID` lets it go",
    Kind.HIDDEN_BEFORE: "`maintainer undelete REPOSITORY ID…` brings them back, `maintainer accept REPOSITORY` lets them go",
    Kind.CONFIRM: "are these your hosts and paths? Then: `maintainer accept REPOSITORY`. Until then nothing is forgotten",
    Kind.EARLIER_REPOSITORY: "left as it lies, under delete markers: what is current is maintained. Is it the other that you want, "
    "restore it from its versions to a prefix of its own",
    Kind.EARLIER_LEDGER: "correct [state] location, if it is another than before; if that state store is lost: "
    "`maintainer enroll REPOSITORY --rebase`; if it is no trace of yours: `maintainer accept REPOSITORY`. Until then nothing is forgotten",
    Kind.POISONED_INDEX: "evicted, and an index of ours names what the packs really hold: whoever wrote it lied. Unless the host's memory "
    "is broken, it is in somebody else's hands: take it off the network",
    Kind.PARTIAL_INDEX: "true as far as it goes, as an old restic wrote it: an index of ours, which says all, stands in its place",
    Kind.FOREIGN_INDEX: "true, and in the form of another program than restic, such as rustic: indexes of ours stand in their place. "
    "Nothing to do",
    Kind.DAMAGED_INDEX: "the packs were lost before first contact: an index of ours names the others, so that the next backup uploads what "
    "it still has",
    Kind.UNOPENED: "left as it is: it was there before first contact, and a key that is not ours may open it. If you know of none: "
    "`maintainer reject REPOSITORY unopened` lets all such files go",
    Kind.DAMAGED_PACK: "damaged before first contact, and left as it is: restic restores what is sound in it. After `maintainer accept "
    "REPOSITORY` that is written anew, and the next backup uploads the rest again if the host still has it",
    Kind.INDEX_OF_DAMAGED: "left as it is until `maintainer accept REPOSITORY`: it says what is sound in damaged packs. An index of ours "
    "names its other packs",
    Kind.TOO_LARGE: "evicted, and indexes of ours name what its packs hold: it says more than is read of one index. No backup of yours "
    "wrote it, unless it has over five million files in one index",
    Kind.UNREADABLE_INDEX: "left as it is, and an index of ours names the other packs: give the maintenance identity the right to read "
    "these, or restore them from the archive class",
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

    @property
    def group(self) -> str:
        """Return what it is told together with, beside its kind: the class of what speaks against a snapshot. Empty for other kinds."""
        if self.kind is not Kind.SUSPECT or self.subject == MANY:
            return ""
        return self.subject.removesuffix(MANY_OF) if self.is_bundle else suspicion(self.detail).value

    @property
    def is_bundle(self) -> bool:
        """Tell whether it stands for many."""
        return self.subject == MANY or self.subject.endswith(MANY_OF)


MANY = "many objects"
"""A bundle's subject."""
MANY_OF = ": many snapshots"
"""How the subject of a bundle of one group ends."""


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


LONGEST_SUBJECT, LONGEST_DETAIL = 2_000, 4_000
"""Characters: a key of S3 has 1,024 bytes at most."""
LIMIT_OF_A_KIND = 100
"""Beyond this many of a kind and group, one finding stands for all of them: a bundle."""
_FINGERPRINT = 8
"""Bytes. What is found has an identity and a version id that its author does not choose: nobody finds another of the same fingerprint."""


class Found:
    """What a run finds, as it comes. Beyond the limit of a kind only fingerprints are kept: there may be a million.

    The same finding counts once, and of those with one identity the first.
    """

    def __init__(self, known: Mapping[str, Reported] | None = None, found: Iterable[Finding] = ()) -> None:
        """`known` is what the run before reported."""
        self._known = known or {}
        self._kinds: dict[tuple[Kind, str], _Several] = {}
        for finding in found:
            self.append(finding)

    def append(self, finding: Finding) -> None:
        """Take one more, its texts cut to what an entry and a screen can hold."""
        kind, detail = finding.kind, abridging.text(finding.detail, LONGEST_DETAIL)
        finding = replace(finding, subject=abridging.text(finding.subject, LONGEST_SUBJECT), detail=detail)
        several = self._kinds.get((kind, finding.group))
        if several is None:
            known = [one for one in self._known.values() if one.finding.kind is kind]
            several = self._kinds[kind, finding.group] = _Several(kind, finding.group, known)
        several.take(finding)

    def settled(self, acknowledged: frozenset[str], *, now: str) -> dict[str, Reported]:
        """Say where every finding stands after this run: by identity, the gone ones last seen in this run only.

        What was reported and is found again with the same evidence is open or acknowledged; newer evidence makes it new, whatever it was.
        A bundle is new when anything in it is; and stays one as long as anything is left of it, so that this is no news.
        """
        settled: dict[str, Reported] = {}
        bundled: set[str] = set()
        for several in self._kinds.values():
            bundled |= several.known_again
            for finding, members, is_news in several.told():
                earlier = self._known.get(finding.identity)
                since = now if earlier is None or earlier.standing is Standing.GONE else earlier.since
                standing = Standing.NEW if is_news else Standing.ACKNOWLEDGED if finding.identity in acknowledged else Standing.OPEN
                settled[finding.identity] = Reported(finding, since, standing, members)
        for identity, reported in self._known.items():
            if identity not in settled and identity not in bundled and reported.standing is not Standing.GONE:
                settled[identity] = replace(reported, standing=Standing.GONE)
        return settled


class _Several:
    """What was found of one kind: one by one, or a bundle. `known_again` are the identities that were reported before one by one."""

    def __init__(self, kind: Kind, group: str, known: Sequence[Reported]) -> None:
        """`known` are those of the kind: of one that was told before, and of another group or of none then, it is no news either."""
        self._kind = kind
        self._subject = f"{group}{MANY_OF}" if group else MANY
        live = [one for one in known if one.standing is not Standing.GONE]
        bundles = [one for one in live if one.finding.is_bundle]
        bundle = next((one for one in bundles if one.finding.subject == self._subject), None)
        self._members = _merged(one.members for one in bundles)
        singles = [one.finding for one in live if not one.finding.is_bundle]
        self._known = {finding.identity for finding in singles}
        self._known_prints = {_fingerprint(finding) for finding in singles}
        self.known_again: set[str] = set()
        self._whole: dict[str, Finding] = {}
        self._is_bundle = bundle is not None
        self._prints = array("Q")
        self._example: Finding | None = None
        self._news: Finding | None = None

    def take(self, finding: Finding) -> None:
        if self._is_bundle:
            self._count(finding)
            return
        self._whole.setdefault(finding.identity, finding)
        if len(self._whole) > LIMIT_OF_A_KIND:
            self._is_bundle = True
            for one in self._whole.values():
                self._count(one)
            self._whole.clear()

    def _count(self, finding: Finding) -> None:
        print_ = _fingerprint(finding)
        self._prints.append(print_)
        self._example = min(self._example or finding, finding, key=attrgetter("subject"))
        if finding.identity in self._known:
            self.known_again.add(finding.identity)
        if self._is_news(print_):
            self._news = min(self._news or finding, finding, key=attrgetter("subject"))

    def _is_news(self, print_: int) -> bool:
        if print_ in self._known_prints:
            return False
        at = bisect_left(range(len(self._members) // _FINGERPRINT), print_, key=self._member)
        return at == len(self._members) // _FINGERPRINT or self._member(at) != print_

    def _member(self, number: int) -> int:
        return int.from_bytes(self._members[number * _FINGERPRINT : (number + 1) * _FINGERPRINT], "big")

    def told(self) -> Iterator[tuple[Finding, bytes, bool]]:
        """Yield the findings that are reported, who is in each, and whether it, or anything in it, is news."""
        if not self._is_bundle:
            for finding in self._whole.values():
                yield finding, b"", self._is_news(_fingerprint(finding))
            return
        prints = array("Q", (one for one, _ in groupby(sorted(self._prints))))
        news = sum(map(self._is_news, prints))
        count = f"{news} new of {len(prints)}" if 0 < news < len(prints) else f"{len(prints)}"
        members = array("Q", prints)
        if sys.byteorder == "little":
            members.byteswap()
        example = self._news or self._example
        why = f": {example.detail}" if example is not None and example.group else ""
        told = f"{count}, for example {example.subject if example else ''}{why}"
        yield Finding(self._kind, self._subject, told), members.tobytes(), bool(news)


def _merged(members: Iterable[bytes]) -> bytes:
    """Return the fingerprints of several bundles as those of one, in order."""
    several = [one for one in members if one]
    if len(several) < 2:  # noqa: PLR2004 - one is in order already
        return b"".join(several)
    whole = b"".join(several)
    return b"".join(sorted({whole[at : at + _FINGERPRINT] for at in range(0, len(whole), _FINGERPRINT)}))


def abridged(findings: Iterable[Reported], before: Mapping[str, Reported]) -> tuple[Reported, ...]:
    """Leave out the members of bundles that are the same in the entry before: what is open for a year is written once."""
    return tuple(replace(one, members=b"") if one.members and one.members == _members(before, one) else one for one in findings)


def unabridged(findings: Iterable[Reported], before: Mapping[str, Reported]) -> dict[str, Reported]:
    """Return findings by identity, with the members that were left out."""
    return {
        one.finding.identity: replace(one, members=one.members or _members(before, one)) if one.finding.is_bundle else one
        for one in findings
    }


def _members(known: Mapping[str, Reported], one: Reported) -> bytes:
    return known[one.finding.identity].members if one.finding.identity in known else b""


def _fingerprint(finding: Finding) -> int:
    hashed = hashlib.sha256(f"{finding.identity}\0{finding.evidence}".encode("utf-8", "surrogateescape"))
    return int.from_bytes(hashed.digest()[:_FINGERPRINT], "big")
