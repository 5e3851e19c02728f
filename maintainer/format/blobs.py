"""Blobs, as they lie in packs (restic's design document, "Pack Format")."""

from __future__ import annotations

import hashlib

from maintainer.core.admission import Blob
from maintainer.format.boundary import FormatError, reader
from maintainer.format.crypto import MasterKey, decompress, decrypt


def is_sound(key: MasterKey, sealed: bytes, blob: Blob) -> bool:
    """Tell whether these bytes are the blob that an index says: they open, inflate to its length and no more, and hash to its id."""
    try:
        return _digest(key, sealed, blob) == blob[0]
    except FormatError:
        return False


@reader("blob")
def _digest(key: MasterKey, sealed: bytes, blob: Blob) -> str:
    plain, length = decrypt(key, sealed), blob[4]
    hashed = hashlib.sha256()
    for piece in decompress(plain, length) if length else (plain,):
        hashed.update(piece)
    return hashed.hexdigest()
