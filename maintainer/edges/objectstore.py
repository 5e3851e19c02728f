"""One repository's prefix in a versioned bucket: survey, hash, heal, mark. Nothing here deletes a version."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, BinaryIO, Protocol

from maintainer.core.errors import AccessDeniedError, MaintainerError, NotFoundError, StoreError
from maintainer.core.versions import Look, ObjectVersion
from maintainer.edges import shelves
from maintainer.edges.inorder import in_order
from maintainer.edges.s3 import S3
from maintainer.edges.s3errors import error_code
from maintainer.edges.scratch import disk, full
from maintainer.edges.survey import survey
from maintainer.edges.surveyed import Surveyed

CHUNK = 1 << 20
"""Bytes held at a time while hashing, whatever the object's size."""
URL_LIFE_S = 3600
WORKERS = 8
RELEASED = ("maintainer", "released")
"""The tag of what may expire, which lifecycle rules select by."""
MAY_EXPIRE = f"it carries the tag {'='.join(RELEASED)}, and might expire"
PLAIN_CLASSES = frozenset({"STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR"})
NOT_THERE = frozenset({"NotImplemented", "MethodNotAllowed", "501", "405"})
"""What a store says that lacks an operation."""
UNREADABLE_CODES = {"InvalidObjectState": "it is in an archive class", "InvalidRequest": "it is encrypted with a customer's key"}


class ObjectStore(Protocol):
    """What the steps need of a repository's bucket. Keys are below the prefix."""

    def survey(self, folder: str = "") -> Iterator[ObjectVersion]:
        """List every version and marker, or those of a folder (`index/`): keys in order, newest first."""

    def look(self, version: ObjectVersion) -> Look:
        """Hash one version's content by streaming, and tell whether it is plain."""

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        """Return a small version's content; ValueError if it is larger than `limit`."""

    def heal(self, source: ObjectVersion, digest: str) -> ObjectVersion:
        """Put a version's content on top with plain headers, verify it, and return the version made."""

    def mark(self, key: str) -> str:
        """Cover a key by a delete marker; return the marker's version id."""

    def put(self, key: str, body: bytes) -> ObjectVersion:
        """Put an object with plain headers."""


class S3Store:
    """The prefix on a real S3, or on anything that speaks it."""

    def __init__(self, s3: S3, bucket: str, prefix: str, now: Callable[[], datetime], kms_key: str = "") -> None:
        """Work below `prefix`. `kms_key` is the ARN of the one KMS key that counts as plain; what we put is encrypted under it."""
        self._s3 = s3
        self._kms_key = kms_key
        self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        self._bucket = bucket
        self._root = f"{prefix}/" if prefix else ""
        self._now = now
        self._copies = True

    def survey(self, folder: str = "") -> Iterator[ObjectVersion]:
        """List every version and marker below the prefix, or below a folder of it."""
        for version in self._s3.versions(self._bucket, self._root + folder):
            yield replace(version, key=version.key.removeprefix(self._root))

    def survey_all(self, place: Path) -> Surveyed:
        """List every version and marker below the prefix, in parallel and in the order of `survey`, into a file below `place`."""
        return survey(partial(self._s3.page, self._bucket), self._root, place)

    def current_keys(self, folder: str) -> Iterator[str]:
        """List the keys below a folder that are current now."""
        return (key.removeprefix(self._root) for key in self._s3.keys(self._bucket, self._root + folder))

    def look(self, version: ObjectVersion) -> Look:
        """Hash one version's content by streaming, and tell whether it is plain. An unreadable one has no digest."""
        parameters = self._at(version)

        def act() -> Look:
            hashed = hashlib.sha256()
            answer = self._s3.call_raw("get_object", parameters)
            for chunk in answer["Body"].iter_chunks(CHUNK):
                hashed.update(chunk)
            why = _why_not_plain(answer, self._kms_key)
            if not why and answer.get("TagCount") and self.is_released(version) is not False:
                why = MAY_EXPIRE
            return Look(hashed.hexdigest(), plain=not why, why=why)

        try:
            return self._s3.repeat("get_object", parameters, act)
        except MaintainerError as error:
            why = _why_unreadable(error)
            if why is None:
                raise
            return Look(None, plain=False, why=why)

    def read(self, version: ObjectVersion, limit: int) -> bytes:
        """Return a small version's content; ValueError if it is larger than `limit`."""
        if version.size > limit:
            raise ValueError(f"{version.key} holds {version.size} bytes, more than {limit}")
        parameters = self._at(version)

        def act() -> bytes:
            body: bytes = self._s3.call_raw("get_object", parameters)["Body"].read(limit + 1)
            return body

        body = self._s3.repeat("get_object", parameters, act)
        if len(body) > limit:
            raise ValueError(f"{version.key} holds more than {limit} bytes")
        return body

    def save(self, version: ObjectVersion, limit: int, file: BinaryIO) -> None:
        """Write a version's content into a file, from its beginning; ValueError if it is larger than `limit`."""
        if version.size > limit:
            raise ValueError(f"{version.key} holds {version.size} bytes, more than {limit}")
        parameters = self._at(version)

        def act() -> None:
            file.seek(0)
            file.truncate()
            for chunk in self._s3.call_raw("get_object", parameters)["Body"].iter_chunks(CHUNK):
                _write(file, chunk)

        self._s3.repeat("get_object", parameters, act)
        file.flush()

    def read_part(self, version: ObjectVersion, start: int, end: int) -> bytes:
        """Return a version's bytes from `start` to before `end`; of a store that honours no range, by reading up to there."""
        parameters = {**self._at(version), "Range": f"bytes={start}-{end - 1}"}

        def act() -> bytes:
            answer = self._s3.call_raw("get_object", parameters)
            is_part = answer["ResponseMetadata"]["HTTPStatusCode"] == 206  # noqa: PLR2004 - HTTP's own
            with answer["Body"] as body:
                return bytes(body.read(end - start)) if is_part else bytes(body.read(end))[start:]

        return self._s3.repeat("get_object", parameters, act)

    def heal(self, source: ObjectVersion, digest: str) -> ObjectVersion:
        """Copy a version on top, with headers and tags replaced; where the store's copy is not plain and true, or none, get and put it."""
        if self._copies and (copied := self.copy(source)) is not None and self.look(copied) == Look(digest):
            return copied
        made = self._get_and_put(source)
        look = self.look(made)
        if look.digest == digest and not look.plain:
            do = "if the bucket encrypts under a KMS key of yours by default, name its ARN: kms_key = ... of the repository"
            raise StoreError(f"{source.key} could not be healed to plain headers: {look.why}", guidance=do)
        if look != Look(digest):
            raise StoreError(f"{source.key} could not be healed: what was put is not what is read", guidance="ask the storage's operator")
        return made

    def copy(self, source: ObjectVersion) -> ObjectVersion | None:
        """Copy a version on top within the store, not verified; None, from then on, where the store has no such copy.

        In one call: S3 copies up to 5 GB so, and nothing over 4 GiB is ever true (`core.repofiles.MAXIMA`).
        """
        try:
            answer = self._s3.call(
                "copy_object",
                Bucket=self._bucket,
                Key=self._root + source.key,
                CopySource={"Bucket": self._bucket, "Key": self._root + source.key, "VersionId": source.version_id},
                MetadataDirective="REPLACE",
                TaggingDirective="REPLACE",
                ContentType="application/octet-stream",
                StorageClass="STANDARD",
                **self._encryption,
            )
        except StoreError as error:
            if error_code(error) not in NOT_THERE:
                raise
            self._copies = False
            return None
        return self._current(source, answer.get("VersionId"))

    def _get_and_put(self, source: ObjectVersion) -> ObjectVersion:
        with TemporaryFile(dir=disk()) as spool:
            parameters = self._at(source)

            def act() -> None:
                spool.seek(0)
                spool.truncate()
                for chunk in self._s3.call_raw("get_object", parameters)["Body"].iter_chunks(CHUNK):
                    _write(spool, chunk)

            self._s3.repeat("get_object", parameters, act)
            answer = self._s3.repeat("put_object", self._put_parameters(source.key, spool), lambda: self._put_from_start(source.key, spool))
        return self._current(source, answer.get("VersionId"))

    def mark(self, key: str) -> str:
        """Cover a key by a delete marker; return the marker's version id."""
        return str(self._s3.call("delete_object", Bucket=self._bucket, Key=self._root + key).get("VersionId", ""))

    def release(self, versions: Iterable[tuple[str, str]]) -> None:
        """Tag versions (key and id) as released: the lifecycle rule may take them. What it has taken already is no error."""
        tags = {"TagSet": [{"Key": RELEASED[0], "Value": RELEASED[1]}]}

        def act(ref: tuple[str, str]) -> None:
            with suppress(NotFoundError):
                self._s3.call("put_object_tagging", Bucket=self._bucket, Key=self._root + ref[0], VersionId=ref[1], Tagging=tags)

        for _ in in_order(act, versions, WORKERS, "release"):
            pass

    def is_released(self, version: ObjectVersion) -> bool | None:
        """Tell whether a version carries the tag of what may expire; None where that may not be asked, or the store has no tags."""
        try:
            return RELEASED in self._tags(version).items()
        except AccessDeniedError:
            return None
        except StoreError as error:
            if error_code(error) not in NOT_THERE:
                raise
            return None

    def keep(self, version: ObjectVersion) -> None:
        """Give that tag of a version another value, and leave its other tags. A set without any tag is refused by some stores."""
        tags = {**self._tags(version), RELEASED[0]: "kept"}
        tagging = {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        self._s3.call("put_object_tagging", **self._at(version), Tagging=tagging)

    def _tags(self, version: ObjectVersion) -> dict[str, str]:
        return {one["Key"]: one["Value"] for one in self._s3.call("get_object_tagging", **self._at(version)).get("TagSet", [])}

    def expires_unreleased_after(self) -> int | None:
        """Return after how many days a lifecycle rule takes noncurrent versions below the prefix whatever their tags; None if none does.

        None too where the rules can not be read: a store without lifecycle has none, and the right to read them may be missing.
        """
        try:
            rules = self.lifecycle_rules()
        except MaintainerError:
            return None
        return self.takes_unreleased_after(rules)

    def lifecycle_rules(self) -> list[Mapping[str, Any]]:
        """Return the bucket's lifecycle rules; none of a store that has no lifecycle. AccessDeniedError without the right to read them."""
        try:
            rules: list[Mapping[str, Any]] = self._s3.call("get_bucket_lifecycle_configuration", Bucket=self._bucket).get("Rules", [])
        except StoreError as error:
            if error_code(error) not in NOT_THERE | {"NoSuchLifecycleConfiguration"}:
                raise
            return []
        return rules

    def policy(self) -> str:
        """Return the bucket's policy, empty where it has none. AccessDeniedError without the right to read it."""
        try:
            return str(self._s3.call("get_bucket_policy", Bucket=self._bucket)["Policy"])
        except StoreError as error:
            if error_code(error) not in NOT_THERE | {"NoSuchBucketPolicy"}:
                raise
            return ""

    def takes_unreleased_after(self, rules: Iterable[Mapping[str, Any]]) -> int | None:
        """Return after how many days such rules take noncurrent versions below the prefix that nobody released; None if they do not."""
        days = [days for rule in rules if (days := _expires_after(rule, self._root)) is not None]
        return min(days, default=None)

    def put(self, key: str, body: bytes) -> ObjectVersion:
        """Put an object with plain headers. Safe to repeat: what we put is named by its content."""
        version_id = self._put(key, body).get("VersionId")
        made = ObjectVersion(key, version_id or "", is_marker=False, size=len(body), last_modified=self._now())
        return made if version_id else self._current(made, None)

    def url(self, version: ObjectVersion) -> str:
        """Return a presigned URL of exactly this version."""
        return self._s3.presigned_get(URL_LIFE_S, self._bucket, self._root + version.key, version.version_id)

    def serves_urls(self, version: ObjectVersion) -> bool:
        """Probe whether a presigned URL of a version answers a range with the range alone: then restic may be sent there by a redirect.

        A store may ignore ranges of versions, and a bucket's policy may refuse requests that are signed in their URL (`s3:authType`).
        """
        if version.size < 2:  # noqa: PLR2004 - of one byte every range is the whole
            return False
        status, body = self._s3.fetch(self._bucket, self.url(version), {"Range": "bytes=1-1"})
        return status == 206 and len(body) == 1  # noqa: PLR2004 - HTTP's own

    def is_versioned(self) -> tuple[bool, datetime | None]:
        """Tell whether the bucket keeps versions, and what time the store had when it answered (None where it does not say)."""
        answer = self._s3.call("get_bucket_versioning", Bucket=self._bucket)
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return answer.get("Status") == "Enabled", parsedate_to_datetime(date) if date else None

    def _put(self, key: str, body: Any) -> dict[str, Any]:
        return self._s3.call("put_object", **self._put_parameters(key, body))

    def _put_from_start(self, key: str, spool: IO[bytes]) -> dict[str, Any]:
        spool.seek(0)  # a repeat must not begin where the last attempt ended
        return self._s3.call_raw("put_object", self._put_parameters(key, spool))

    def _put_parameters(self, key: str, body: Any) -> dict[str, Any]:
        kind = "application/octet-stream"
        return {"Bucket": self._bucket, "Key": self._root + key, "Body": body, "ContentType": kind, **self._encryption}

    def _at(self, version: ObjectVersion) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._root + version.key, "VersionId": version.version_id}

    def _current(self, like: ObjectVersion, version_id: str | None) -> ObjectVersion:
        """Return the version that a put or copy made; a store whose answer does not name it is asked for the newest."""
        if version_id is None:
            head = self._s3.call("head_object", Bucket=self._bucket, Key=self._root + like.key)
            version_id = head["VersionId"]
        return ObjectVersion(like.key, version_id, is_marker=False, size=like.size, last_modified=self._now())


class Looks:
    """Looks at versions, each made once: versions are immutable. `ahead` makes many at a time."""

    def __init__(self, store: ObjectStore, workers: int = 8) -> None:
        self._store = store
        self._workers = workers
        self._known = shelves.looks()

    def __call__(self, version: ObjectVersion) -> Look:
        """Return the look at one version."""
        known = self._known.get(_ref(version))
        return self._remember(version, self._store.look(version)) if known is None else known

    def _remember(self, version: ObjectVersion, look: Look) -> Look:
        self._known[_ref(version)] = look
        return look

    def ahead(self, versions: Iterable[ObjectVersion]) -> None:
        """Look at all of these at once, so that a plan's questions are answered from memory."""
        for version, look in in_order(self._store.look, versions, self._workers, "look"):
            self._remember(version, look)

    def knows(self, version: ObjectVersion) -> bool:
        """Tell whether a version was looked at already."""
        return _ref(version) in self._known

    def learn(self, version: ObjectVersion, digest: str) -> None:
        """Remember what is known of a version that we made and verified."""
        self._remember(version, Look(digest))


def _write(spool: IO[bytes], chunk: bytes) -> None:
    try:
        spool.write(chunk)
    except OSError as error:
        raise full(error) from error


def _ref(version: ObjectVersion) -> str:
    return f"{version.key}\0{version.version_id}"


def _expires_after(rule: Mapping[str, Any], root: str) -> int | None:
    chosen = rule.get("Filter") or {}
    chosen = chosen.get("And") or chosen
    tags = [(tag["Key"], tag["Value"]) for tag in (*chosen.get("Tags", ()), *([chosen["Tag"]] if "Tag" in chosen else ()))]
    prefix = chosen.get("Prefix", rule.get("Prefix", ""))
    touches = root.startswith(prefix) or prefix.startswith(root)
    days: int | None = rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays")
    return days if rule.get("Status") == "Enabled" and touches and RELEASED not in tags else None


def _why_not_plain(answer: Mapping[str, Any], kms_key: str) -> str:
    """Say what of an object's headers may stop restic, now or later; empty where nothing does.

    Content type, metadata, and what browsers heed are as other programs set them that copy buckets (mc, s3cmd, rclone, aws s3 sync).
    """
    foreign = []
    if answer.get("ContentEncoding") not in (None, "", "aws-chunked"):  # clients undo it, and find other bytes
        foreign.append("ContentEncoding")
    is_ours = bool(kms_key) and answer.get("SSEKMSKeyId") == kms_key
    if answer.get("ServerSideEncryption") not in (None, "AES256") and not is_ours:  # whoever has the key can take it away
        foreign.append(f"ServerSideEncryption under {answer.get('SSEKMSKeyId') or 'no key that is named'}")
    if answer.get("StorageClass", "STANDARD") not in PLAIN_CLASSES:
        foreign.append("StorageClass")
    return f"foreign headers: {', '.join(foreign)}" if foreign else ""


def _why_unreadable(error: MaintainerError) -> str | None:
    """Say why a version can not be read, where that lies in the version and not in us."""
    code = error_code(error)
    if code in UNREADABLE_CODES:
        return UNREADABLE_CODES[code]
    if code in {"AccessDenied", "KMS.DisabledException", "KMS.NotFoundException"} and "kms" in str(error.__cause__).lower():
        return "it is encrypted under a key that is not ours"
    return None
