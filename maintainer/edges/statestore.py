"""The state store: the ledger, people's judgements, and what each run says of itself. Append-only; the oldest version counts."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import zstandard

from maintainer.core import segments
from maintainer.core.entries import Entry, Judgement, Segment, broken, digest, judgements_head
from maintainer.core.errors import AlreadyExistsError, ConcurrentRunError, NotFoundError, UnsafeStoreError
from maintainer.core.job import Place
from maintainer.core.ledger import Ledger
from maintainer.core.records import Text
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.edges.inorder import in_order
from maintainer.edges.s3 import S3
from maintainer.edges.shelf import RecordShelf

LONGEST_ENTRY = 256 << 20
ANEW = "-anew"
READERS = 8
"""Entries that are read at the same time: a year has some seven hundred."""


@dataclass(frozen=True, slots=True)
class Chains:
    """The bytes of both chains, in order, and which links have versions beside their oldest.

    `strange` are names beside the links that no link has: nothing heeds them.
    """

    entries: Iterator[bytes]
    judgements: tuple[bytes, ...]
    altered: tuple[str, ...]
    strange: tuple[str, ...] = ()


class StateStore:
    """One repository's part of the state store."""

    def __init__(self, s3: S3, place: Place) -> None:
        self._s3 = s3
        self._bucket = place.bucket
        self._root = f"{place.prefix}/"
        self.strange: set[str] = set()
        """Names that are not ours, in what was read so far: ignored, since nobody may delete them, and to be told of."""

    def chains(self) -> Chains:
        """List both chains, and read them as they were first written: the entries while they are iterated, a few ahead.

        The judgements are listed after the entries: those that an entry has folded are among them.
        """
        altered: list[str] = []
        strange: list[str] = []
        entries = self._chain("ledger", altered, strange)
        judgements = tuple(self._chain("judgements", altered, strange))
        return Chains(entries, judgements, tuple(altered), tuple(strange))

    def ledger(self) -> Ledger:
        """Read and verify both chains; LedgerError at the first link that does not follow."""
        chains = self.chains()
        self.strange.update(chains.strange)
        made = Ledger(RecordShelf(), chains.entries, chains.judgements, self.read_segments)
        self.strange.update(f"judgements/{number:08d}" for number in made.void)
        return made

    def first_entry(self) -> bytes:
        """Read entry 0."""
        return self._oldest(_entry_key(0))

    def _chain(self, folder: str, altered: list[str], strange: list[str]) -> Iterator[bytes]:
        oldest: dict[str, str] = {}
        for version in self._versions(f"{folder}/"):
            if not _LINK.fullmatch(version.key):
                strange.append(version.key)
                continue
            if version.key in oldest:
                altered.append(version.key)
            if not version.is_marker:
                oldest[version.key] = version.version_id
        return self._read_ahead([(key, oldest[key]) for key in sorted(oldest)])

    def _read_ahead(self, refs: Sequence[tuple[str, str]]) -> Iterator[bytes]:
        for _, body in in_order(lambda ref: self._read(*ref), refs, READERS, "ledger"):
            yield body

    def put_segments(self, texts: Iterable[Text]) -> tuple[Segment, ...]:
        """Keep records beside the ledger, compressed, before the entry that names them; return the names."""
        return tuple(self._put_segment(*one) for one in segments.cut(texts))

    def put_released(self, released: Iterable[tuple[str, Collection[str]]]) -> tuple[Segment, ...]:
        """Keep what was released beside the ledger likewise."""
        return tuple(self._put_segment(*one) for one in segments.cut_released(released))

    def _put_segment(self, records: int, text: bytes) -> Segment:
        name = digest(text)
        self._put(f"segments/{name}", zstandard.compress(text), ContentType="application/zstd")
        return Segment(name, records)

    def read_segments(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the texts of segments, some read ahead, to be judged by their names; LedgerError where there is none."""
        return (text for _, text in in_order(self._read_segment, names, READERS, "segments"))

    def _read_segment(self, name: str) -> bytes:
        try:
            body = self._oldest(f"segments/{name}")
            with zstandard.ZstdDecompressor().stream_reader(body) as reader:
                return reader.read(segments.LONGEST)
        except (NotFoundError, zstandard.ZstdError) as error:
            raise broken(f"segment {name} is missing or unreadable ({error})") from error

    def append_entry(self, entry: Entry) -> bytes:
        """Append: the commit; return what was put. On a lost answer the entry is read: ours means done, another's ConcurrentRunError."""
        body = entry.encode()
        if len(body) > LONGEST_ENTRY:
            raise broken(f"entry {entry.sequence} would have {len(body)} bytes, and could never be read")
        self._append(_entry_key(entry.sequence), body)
        return body

    def has_entry(self, sequence: int) -> bool:
        """Tell whether an entry of this number was ever put."""
        return any(True for _ in self._versions(_entry_key(sequence)))

    def append_judgement(self, action: str, subjects: Iterable[str], *, who: str, at: str) -> Judgement:
        """Append a person's judgement after the last one."""
        number, previous = judgements_head(self.chains().judgements)
        judgement = Judgement(number, previous, at, who, action, tuple(subjects))
        self._append(f"judgements/{number:08d}", judgement.encode())
        return judgement

    def _append(self, key: str, body: bytes) -> None:
        if not self._put(key, body, ContentType="application/json") and self._oldest(key) != body:
            raise ConcurrentRunError(
                f"{key} was written by another run meanwhile", guidance="that run goes on; this one ends, and nothing is lost"
            )

    def probe(self) -> None:
        """Make sure that the store refuses to put over an existing key; UnsafeStoreError if it does not."""
        parameters: dict[str, Any] = {"Bucket": self._bucket, "Key": f"{self._root}probe", "Body": b"probe", "IfNoneMatch": "*"}
        for _ in range(2):
            try:
                self._s3.call("put_object", **parameters)  # may be repeated: what the lost try put is in the way then
            except AlreadyExistsError:
                return
        raise UnsafeStoreError(
            f"the state store s3://{self._bucket} ignores `If-None-Match: *`: two runs could both commit",
            guidance="use a store that honours conditional puts for [state] location, such as Amazon S3",
        )

    def start_run(self, run_id: str) -> None:
        """Say that a run has begun."""
        self._put(f"runs/{run_id}/started", b"")

    def announce(self, run_id: str) -> Callable[[RepositoryFile], None]:
        """Return what says of a file, before it is put, that this run puts it."""

        def announce(file: RepositoryFile) -> None:
            self._put(f"runs/{run_id}/written/{file.type.value}-{file.id}", b"")

        return announce

    def say_tagged(self, run_id: str) -> None:
        """Say that all which a run's commit released carries its tag."""
        self._put(f"tagged/{run_id}", b"")

    def tagged(self) -> frozenset[str]:
        """Return the runs of which that was said."""
        return frozenset(version.key.removeprefix("tagged/") for version in self._versions("tagged/"))

    def remember_trees(self, run_id: str, pieces: Iterable[bytes], *, anew: bool) -> None:
        """Keep what a run has seen of trees (`core.seentrees`); `anew` says that what was kept before is of no use any more."""
        for number, piece in enumerate(pieces):
            self._put(f"trees/{run_id}-{number:04d}{ANEW if anew and not number else ''}", piece)

    def remembered_trees(self) -> list[str]:
        """Return where that lies, from the last time on that it was kept anew."""
        keys = sorted(key.removeprefix(self._root) for key in self._s3.keys(self._bucket, f"{self._root}trees/"))
        return keys[max((number for number, key in enumerate(keys) if key.endswith(ANEW)), default=0) :]

    def read_trees(self, key: str) -> bytes:
        """Return one piece of it."""
        return bytes(self._s3.call("get_object", Bucket=self._bucket, Key=self._root + key)["Body"].read(LONGEST_ENTRY))

    def save_events(self, run_id: str, piece: int, body: bytes) -> bytes:
        """Keep a piece of a run's events, numbered from 0, so that nothing is lost when nobody listened.

        Return what the store holds as this piece: less than `body` where an earlier try had arrived and its answer was lost.
        """
        key = f"runs/{run_id}/events/{piece:08d}"
        return body if self._put(key, body) else self._oldest(key)

    def events(self, run_id: str) -> bytes:
        """Return a run's events, those of its later attempts included; NotFoundError if it kept none."""
        whole = f"{self._root}runs/{run_id}"
        wanted = re.compile(re.escape(whole) + r"(-[0-9]+)?/events/[0-9]+")
        keys = [key for key in self._s3.keys(self._bucket, whole) if wanted.fullmatch(key)]
        if not keys:
            raise NotFoundError(f"no events of run {run_id}", guidance="the last line of `maintainer run` names its run")
        return b"".join(bytes(self._s3.call("get_object", Bucket=self._bucket, Key=key)["Body"].read()) for key in keys)

    def runs(self) -> dict[str, tuple[RepositoryFile, ...]]:
        """Return every run that ever began, oldest first, with the files that it said it would put."""
        found: dict[str, list[RepositoryFile]] = {}
        root = f"{self._root}runs/"
        for key in self._s3.keys(self._bucket, root):
            told = _TOLD.fullmatch(key.removeprefix(root))
            if told is None:
                self.strange.add(key.removeprefix(self._root))
                continue
            written = found.setdefault(told["run"], [])
            if told["kind"]:
                written.append(RepositoryFile(FileType(told["kind"]), told["id"]))
        return {run_id: tuple(found[run_id]) for run_id in sorted(found)}

    def _versions(self, prefix: str) -> Iterable[Any]:
        for version in self._s3.versions(self._bucket, self._root + prefix):
            yield replace(version, key=version.key.removeprefix(self._root))

    def _read(self, key: str, version_id: str) -> bytes:
        answer = self._s3.call("get_object", Bucket=self._bucket, Key=self._root + key, VersionId=version_id)
        return bytes(answer["Body"].read(LONGEST_ENTRY))

    def _oldest(self, key: str) -> bytes:
        versions = [version for version in self._versions(key) if version.key == key and not version.is_marker]
        if not versions:
            raise NotFoundError(f"there is no {key} in the state store", guidance="it was removed there: restore it, or its bucket")
        return self._read(key, versions[-1].version_id)

    def _put(self, key: str, body: bytes, **headers: str) -> bool:
        """Put what is not there yet, as a store may demand; return False where it is there, be it by a try whose answer was lost."""
        try:
            self._s3.call("put_object", Bucket=self._bucket, Key=self._root + key, Body=body, IfNoneMatch="*", **headers)
        except AlreadyExistsError:
            return False
        return True


_LINK = re.compile("(?:ledger|judgements)/[0-9]{8}")
_KINDS = "|".join(kind.value for kind in FileType if kind is not FileType.CONFIG)
_TOLD = re.compile(rf"(?P<run>[A-Za-z0-9._-]{{1,200}})/(?:started|events/[0-9]{{8}}|written/(?P<kind>{_KINDS})-(?P<id>[0-9a-f]{{64}}))")
"""What a run says below `runs/`: that it began, its events, and what it is about to put."""


def _entry_key(sequence: int) -> str:
    return f"ledger/{sequence:08d}"


def new_run_id(stamp: str) -> str:
    """Return an id that sorts by time; `stamp` is RFC 3339."""
    return f"{stamp[:19].replace('-', '').replace(':', '')}Z-{secrets.token_hex(3)}"
