"""Indexes, read in the one form in which restic writes them, and piece by piece: nobody can read them otherwise, and none can grow.

Go's encoder has no choices: fields in their order, no space, a newline at the end at most. What is written otherwise is none of restic's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from maintainer.core.admission import Blob
from maintainer.format.boundary import FormatError, LimitError, reader, readers
from maintainer.format.crypto import IV, MAC, MasterKey, Sealed, decrypt, decrypted, inflate
from maintainer.format.files import object_of

INFLATED = 1 << 30
"""The largest JSON that is read, in bytes: an index of five million blobs. restic ends one at 50,000, and one pack more."""
MOST_PACKS = 500_000
"""The most packs that one index may name: of restic's own smallest packs, eight terabytes."""
SHORTEST = IV + MAC
"""Bytes that the shortest blob has, sealed: of a shorter one restic tries for a quarter of an hour to read what is not there."""
LOOSE = 32 << 20
"""The largest JSON that is read by a reader that minds no form, in bytes: it is held whole."""
_TYPES = {"data": "data", "tree": "tree"}
AT_ONCE = 10_000
"""Blobs that are yielded together, at most."""
LONGEST = 512
"""Bytes within which each of the patterns ends."""
_HASH = rb"[0-9a-f]{64}"
_NUMBER = rb"[1-9][0-9]{0,9}"
_PACK = rb'\{"id":"(%b)","blobs":\[' % _HASH
_BLOB = rb'\{"id":"(%b)","type":"(data|tree)","offset":(0|%b),"length":(0|%b)(?:,"uncompressed_length":(%b))?\}' % (
    _HASH,
    _NUMBER,
    _NUMBER,
    _NUMBER,
)


MOST_BLOBS = 500_000
"""The most blobs of one pack: restic takes headers of 16 MiB, and the shortest entry has 37 bytes."""


class StrangeError(FormatError):
    """It is authentic, and not in restic's own form: another reader might take it otherwise than ours."""


class TooLargeError(StrangeError):
    """It says more than is read of one index."""


@reader("index")
def inflated_size(key: MasterKey, body: Sealed, *, repository: int = 2) -> int:
    """Return how many bytes of JSON an index comes to, none of which is held.

    FormatError where it does not open, TooLargeError beyond the limit. `repository` is its repository's format.
    """
    return sum(map(len, _inflated(key, body, repository)))


def _inflated(key: MasterKey, body: Sealed, repository: int = 2) -> Iterator[bytes]:
    try:
        yield from inflate(decrypted(key, body), INFLATED, repository)
    except LimitError as error:
        raise TooLargeError(str(error)) from error


@readers("index")
def read_index(key: MasterKey, body: Sealed, *, shortest: int = SHORTEST) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    """Open an index, and yield each pack (it may come more than once) with blobs that it is said to hold.

    FormatError where it does not open; TooLargeError beyond the limits; StrangeError where it is not as restic writes it, or names a blob
    of less than `shortest` bytes.
    """
    text = _Text(_inflated(key, body))
    packs, left, last = 0, MOST_BLOBS, b""
    text.demand(b"{")
    if text.skip(b'"supersedes":['):
        for _ in text.items(rb'"%b"' % _HASH):
            pass
        text.demand(b"],")
    text.demand(b'"packs":')
    if not text.skip(b"null"):
        text.demand(b"[")
        for pack in text.items(_PACK):
            packs += 1
            if packs > MOST_PACKS:
                raise TooLargeError(f"it names more than {MOST_PACKS} packs")
            left = left if pack[1] == last else MOST_BLOBS
            last = pack[1]
            blobs = map(_blob, text.items(_BLOB))
            some = tuple(islice(blobs, AT_ONCE))
            if not some:
                raise StrangeError("it names a pack without a blob, which restic never writes")
            while some:
                left -= len(some)
                if left < 0:
                    raise StrangeError("it names more blobs of one pack than a pack can have")
                if min(blob[3] for blob in some) < shortest:
                    raise StrangeError("it names a blob that is too short to be one")
                yield pack[1].decode(), some
                some = tuple(islice(blobs, AT_ONCE))
            text.demand(b"]}")
        text.demand(b"]")
    text.demand(b"}")
    text.end()


def write_index(packs: Mapping[str, Iterable[Blob]]) -> bytes:
    """Return the JSON of an index that says what packs hold, by their ids, in restic's own form."""
    said = [{"id": pack, "blobs": [_entry(blob) for blob in blobs]} for pack, blobs in packs.items()]
    return json.dumps({"packs": said}, separators=(",", ":")).encode()


def _entry(blob: Blob) -> dict[str, str | int]:
    name, kind, at, length, plain = blob
    entry: dict[str, str | int] = {"id": name, "type": kind, "offset": at, "length": length}
    return {**entry, "uncompressed_length": plain} if plain else entry


@reader("index")
def read_loosely(key: MasterKey, body: bytes) -> dict[str, tuple[Blob, ...]]:
    """Return what an index says of each pack to a reader that minds no form, as restic's own is; FormatError where that is not clear.

    Other programs write fields that restic passes over (rustic: `time`, `size`, `packs_to_delete`), spaces, or another order.
    """
    found: dict[str, list[Blob]] = {}
    for pack in object_of(b"".join(inflate(decrypt(key, body), LOOSE)))["packs"] or ():
        found.setdefault(_name(pack["id"]), []).extend(
            (
                _name(blob["id"]),
                _TYPES[blob["type"]],
                _number(blob["offset"]),
                _number(blob["length"]),
                _number(blob.get("uncompressed_length", 0)),
            )
            for blob in pack["blobs"]
        )
    return {pack: tuple(blobs) for pack, blobs in found.items()}


def _name(text: object) -> str:
    if not isinstance(text, str) or not re.fullmatch(_HASH.decode(), text):
        raise FormatError("no index: an id that is none")
    return text


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 32:
        raise FormatError("no index: a number that is none")
    return value


def _blob(found: re.Match[bytes]) -> Blob:
    return found[1].decode(), found[2].decode(), int(found[3]), int(found[4]), int(found[5] or 0)


class _Text:
    """JSON as it comes, of which no more is held than a piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""
        self._at = 0

    def items(self, pattern: bytes) -> Iterator[re.Match[bytes]]:
        """Yield what follows each other, parted by commas."""
        found = self._match(pattern)
        while found is not None:
            yield found
            found = self._match(b"," + pattern)

    def skip(self, literal: bytes) -> bool:
        self._fill()
        if not self._held.startswith(literal, self._at):
            return False
        self._at += len(literal)
        return True

    def demand(self, literal: bytes) -> None:
        if not self.skip(literal):
            raise StrangeError("it is not as restic writes an index")

    def end(self) -> None:
        self._fill()
        if self._held[self._at :] not in (b"", b"\n"):
            raise StrangeError("something follows its end")

    def _match(self, pattern: bytes) -> re.Match[bytes] | None:
        self._fill()
        found = re.compile(pattern).match(self._held, self._at)
        self._at = found.end() if found else self._at
        return found

    def _fill(self) -> None:
        while len(self._held) - self._at < LONGEST and (piece := next(self._pieces, None)) is not None:
            self._held = self._held[self._at :] + piece
            self._at = 0
