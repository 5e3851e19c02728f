"""What a store can do: tried on it with a few small objects, since stores that speak S3 differ in what they do and answer."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

from maintainer.core.errors import AccessDeniedError, MaintainerError, StoreError
from maintainer.core.versions import Look, ObjectVersion
from maintainer.edges.clock import Clock
from maintainer.edges.objectstore import NOT_THERE, S3Store
from maintainer.edges.s3 import S3
from maintainer.edges.s3errors import error_code

PROBE = "maintainer/probe/"
"""Where the probe's objects lie below a repository's prefix. When it ends they are hidden, and tagged as what may expire."""
LARGEST_SKEW = timedelta(minutes=3)

Seen: TypeAlias = tuple[bool, str]
"""Whether a store can do something, and what was seen."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One thing that a store can do or not: `holds` is None where it could not be tried. `otherwise` says what follows where it can not.

    A store that can not do what `is_needed` is unfit: nothing that a run does would be safe there.
    """

    name: str
    holds: bool | None
    seen: str
    otherwise: str
    is_needed: bool

    @property
    def is_unfit(self) -> bool:
        """Tell whether no run should rely on this store."""
        return self.is_needed and self.holds is False


@dataclass(frozen=True, slots=True)
class _Attempt:
    name: str
    act: Callable[[], Seen]
    otherwise: str
    is_needed: bool = False

    def make(self) -> Capability:
        try:
            holds, seen = self.act()
        except AccessDeniedError as error:
            return Capability(self.name, None, f"{error.message}; {error.guidance}", self.otherwise, self.is_needed)
        except MaintainerError as error:
            return Capability(self.name, False, error.message, self.otherwise, self.is_needed)
        return Capability(self.name, holds, seen, self.otherwise, self.is_needed)


class Prober:
    """Tries the store of one repository's prefix, in some thirty requests."""

    def __init__(self, s3: S3, bucket: str, prefix: str, store: S3Store, clock: Clock) -> None:
        """`store` works on the same prefix of the same bucket."""
        self._s3 = s3
        self._bucket = bucket
        self._root = f"{prefix}/{PROBE}".lstrip("/")
        self._store = store
        self._clock = clock
        self._made: list[tuple[str, str]] = []

    def probe(self) -> Iterator[Capability]:
        """Try everything, one after the other. Into a bucket that keeps no versions nothing is put."""
        lost = "nothing that was overwritten could come back: turn versioning on, or use a store that has it"
        first = _Attempt("versioning", self._versioning, lost, is_needed=True).make()
        yield first
        if not first.holds:
            return
        try:
            for attempt in self._attempts():
                yield attempt.make()
        finally:
            self._tidy()

    def _attempts(self) -> Iterator[_Attempt]:
        unfit = "what is current and what was overwritten can not be told apart: use another store"
        relayed = "restic reads packs through the agent: more slowly, and the agent needs memory for them"
        yield _Attempt("reading of versions", self._versions, unfit, is_needed=True)
        yield _Attempt("listing of versions", self._listing, unfit, is_needed=True)
        short = "versions would be lost without a word: use another store"
        yield _Attempt("listing from between two keys", self._between, short, is_needed=True)
        yield _Attempt("copy of a version", self._copy, "what was overwritten is healed by get and put: its bytes go both ways")
        yield _Attempt("range of a version", self._range, relayed)
        yield _Attempt("presigned range of a version", self._presigned, relayed)
        yield _Attempt("checksum on put", self._checksum, "what is damaged on its way there is found by the check, and not at once")
        yield _Attempt("tags of versions", self._tags, "nothing that was released ever expires: it stays, and is paid for")
        rule = "give the rule a filter for the tag maintainer=released: as it is it takes true versions and evidence"
        yield _Attempt("lifecycle", self._lifecycle, rule, is_needed=True)
        yield _Attempt("clock", self._time, "retention is judged by it: set this machine's clock, for example with chrony", is_needed=True)

    def _put(self, name: str, body: bytes, **headers: Any) -> ObjectVersion:
        answer = self._s3.call("put_object", Bucket=self._bucket, Key=self._root + name, Body=body, **headers)
        version_id = str(answer.get("VersionId") or "")
        made = ObjectVersion(PROBE + name, version_id, is_marker=False, size=len(body), last_modified=self._clock.now())
        self._made.append((made.key, made.version_id))
        return made

    def _versioning(self) -> Seen:
        is_versioned, _ = self._store.is_versioned()
        return is_versioned, "it is on" if is_versioned else "it is off, or suspended"

    def _versions(self) -> Seen:
        older, newer = self._put("versions", b"older"), self._put("versions", b"newer")
        bodies = (self._store.read(older, 5), self._store.read(newer, 5)) if older.version_id != newer.version_id else ()
        return bodies == (b"older", b"newer"), "each by its id" if bodies else "two puts made one version"

    def _listing(self) -> Seen:
        older = self._put("listing", b"older")
        self._store.mark(older.key)
        newer = self._put("listing", b"newer")
        listed = [version for version in self._store.survey(older.key) if version.key == older.key]
        found = [version.version_id for version in listed]
        marker = next((version.version_id for version in listed if version.is_marker), "")
        if not marker or found[:1] != [newer.version_id] or older.version_id not in found:
            return False, "not the newest first, or not all, or without delete markers"
        is_exact = found[:3] == [newer.version_id, marker, older.version_id]
        return True, "newest first, delete markers among them" if is_exact else "newest first; of one second the rest is in no order"

    def _between(self) -> Seen:
        made = self._put("between-b", b"b")
        root = self._root + "between-"
        rows = self._s3.page(self._bucket, root, f"{root}a").rows
        holds = made.version_id.encode() in {row[1] for row in rows}
        return holds, "nothing is lost" if holds else "the first version after the marker is left out"

    def _copy(self) -> Seen:
        body = b"true"
        source = self._put("copy", body, ContentEncoding="gzip", ContentType="text/plain")
        self._put("copy", b"false")
        copied = self._store.copy(source)
        if copied is None:
            return False, "there is none"
        self._made.append((copied.key, copied.version_id))
        look = self._store.look(copied)
        return look == Look(hashlib.sha256(body).hexdigest()), look.why or "on top, with plain headers"

    def _range(self) -> Seen:
        version = self._put("range", b"0123456789")
        self._put("range", b"newer")
        answer = self._s3.call("get_object", Bucket=self._bucket, Key=self._root + "range", VersionId=version.version_id, Range="bytes=2-4")
        with answer["Body"] as stream:
            body = bytes(stream.read())
        return body == b"234", "the range alone" if body == b"234" else f"{len(body)} bytes of 3"

    def _presigned(self) -> Seen:
        holds = self._store.serves_urls(self._put("presigned", b"0123456789"))
        return holds, "served" if holds else "refused, or the range ignored"

    def _checksum(self) -> Seen:
        wrong = base64.b64encode(hashlib.sha256(b"another").digest()).decode()
        try:
            self._put("checksum", b"one", ChecksumSHA256=wrong)
        except StoreError as error:
            return error_code(error) not in NOT_THERE, f"a wrong one is refused: {error_code(error)}"
        return False, "a wrong one is taken"

    def _tags(self) -> Seen:
        made = self._put("tags", b"")
        self._store.release([(made.key, made.version_id)])
        at = {"Bucket": self._bucket, "Key": f"{self._root}tags", "VersionId": made.version_id}
        try:
            tags = self._s3.call("get_object_tagging", **at)["TagSet"]
        except AccessDeniedError:
            return True, "set, not read: with s3:GetObjectVersionTagging a run also sees which good versions somebody else tagged"
        return tags == [{"Key": "maintainer", "Value": "released"}], "set and read"

    def _lifecycle(self) -> Seen:
        rules = self._store.lifecycle_rules()
        if not rules:
            return True, "there are no rules: what is released stays, and is paid for"
        days = self._store.takes_unreleased_after(rules)
        return days is None, "no rule takes what was not released" if days is None else f"noncurrent versions go after {days} days"

    def _time(self) -> Seen:
        made = self._put("clock", b"")
        now = self._clock.now()
        listed = next((version for version in self._store.survey(made.key) if version.version_id == made.version_id), made)
        apart = listed.last_modified - now
        grain = "whole seconds" if not listed.last_modified.microsecond else "parts of a second"
        return abs(apart) <= LARGEST_SKEW, f"{abs(apart).total_seconds():.0f} s from this machine's; dates in {grain}"

    def _tidy(self) -> None:
        with suppress(MaintainerError):
            for key in dict.fromkeys(key for key, _ in self._made):
                self._store.mark(key)
            self._store.release(self._made)
