"""Indexes, read in the one form in which restic writes them, and piece by piece: nobody can read them otherwise, and none can grow.

Go's encoder has no choices: fields in their order, no space, a newline at the end at most. What is written otherwise is none of restic's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from maintainer.core.admission import Blob
from maintainer.format.boundary import FormatError, readers
from maintainer.format.crypto import MasterKey, decrypt, inflate

INFLATED = 96 << 20
"""The largest JSON that is read, in bytes: restic ends an index at 50,000 blobs and one pack more, which has 409,000 at most."""
AT_ONCE = 10_000
"""Blobs that are yielded together, at most."""
LONGEST = 512
"""Bytes within which each of the patterns ends."""
_HASH = rb"[0-9a-f]{64}"
_NUMBER = rb"[1-9][0-9]{0,9}"
_PACK = rb'\{"id":"(%b)","blobs":(null|\[)' % _HASH
_BLOB = rb'\{"id":"(%b)","type":"(data|tree)","offset":(0|%b),"length":(%b)(?:,"uncompressed_length":(%b))?\}' % (
    _HASH,
    _NUMBER,
    _NUMBER,
    _NUMBER,
)


class StrangeError(FormatError):
    """It is authentic, and not in restic's own form: another reader might take it otherwise than ours."""


@readers("index")
def read_index(key: MasterKey, body: bytes) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    """Open an index, and yield each pack (it may come more than once) with blobs that it is said to hold.

    FormatError where it does not open, or is too large; StrangeError where it is not as restic writes it.
    """
    text = _Text(inflate(decrypt(key, body), INFLATED))
    text.demand(b"{")
    if text.skip(b'"supersedes":['):
        for _ in text.items(rb'"%b"' % _HASH):
            pass
        text.demand(b"],")
    text.demand(b'"packs":')
    if not text.skip(b"null"):
        text.demand(b"[")
        for pack in text.items(_PACK):
            blobs = map(_blob, text.items(_BLOB) if pack[2] == b"[" else ())
            yield pack[1].decode(), tuple(islice(blobs, AT_ONCE))
            while more := tuple(islice(blobs, AT_ONCE)):
                yield pack[1].decode(), more
            text.demand(b"]}" if pack[2] == b"[" else b"}")
        text.demand(b"]")
    text.demand(b"}")
    text.end()


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
