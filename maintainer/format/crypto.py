"""restic's cryptography (its design document, "Keys, Encryption and MAC"): scrypt, AES-256-CTR, Poly1305-AES, zstd."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END, BytesIO, RawIOBase
from itertools import chain
from typing import Any, BinaryIO, TypeAlias

import zstandard
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB
from cryptography.hazmat.primitives.poly1305 import Poly1305

from maintainer.format.boundary import FormatError, LimitError, UnopenedError

IV, MAC = 16, 16
COMPRESSED = 2
"""The first byte of a compressed unpacked file in repository format 2."""
PIECE = 1 << 20
Sealed: TypeAlias = "bytes | BinaryIO"
"""A sealed file: its bytes, or an open file that is read from its beginning, twice."""
LARGEST_WINDOW = 1 << 25
"""Bytes that decompression may look back: restic's own encoder looks back 8 MiB at most."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """What encrypts and authenticates: `encrypt` 32 bytes, `mac_k` and `mac_r` 16 bytes each. Never printed."""

    encrypt: bytes
    mac_k: bytes
    mac_r: bytes

    def __repr__(self) -> str:
        """Hide the secret: it must not reach a log by way of a traceback."""
        return "MasterKey(…)"


def memory_of(n: int, r: int, p: int) -> int:
    """Return the bytes that scrypt takes, as OpenSSL counts them: p lanes, n blocks that one lane is mixed with, and two to mix in."""
    return 128 * r * (n + p + 2)


def derive(password: str, salt: bytes, *, n: int, r: int, p: int) -> MasterKey:
    """Derive a key file's user key. The caller has bounded n, r and p."""
    raw = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=64, maxmem=memory_of(n, r, p))
    return MasterKey(raw[:32], raw[32:48], raw[48:64])


def decrypt(key: MasterKey, sealed: bytes) -> bytes:
    """Authenticate and decrypt `IV || ciphertext || MAC`; FormatError if it is not of this key."""
    if len(sealed) < IV + MAC:
        raise FormatError("shorter than an empty sealed file")
    iv, ciphertext, mac = sealed[:IV], sealed[IV:-MAC], sealed[-MAC:]
    if not hmac.compare_digest(_mac(key, iv, ciphertext), mac):
        raise UnopenedError("it does not authenticate under the repository's key")
    return _ctr(key, iv, ciphertext)


def decrypted(key: MasterKey, sealed: Sealed) -> Iterator[bytes]:
    """Authenticate all of it, and then decrypt it piece by piece, of which one is held at a time; FormatError if it is not of this key."""
    stream = BytesIO(sealed) if isinstance(sealed, bytes) else sealed
    size = stream.seek(0, SEEK_END) - IV - MAC
    if size < 0:
        raise FormatError("shorter than an empty sealed file")
    stream.seek(0)
    iv = stream.read(IV)
    tag = Poly1305(_one_time_key(key, iv))
    for piece in _pieces(stream, size):
        tag.update(piece)
    if not hmac.compare_digest(tag.finalize(), stream.read(MAC)):
        raise UnopenedError("it does not authenticate under the repository's key")
    stream.seek(IV)
    encryptor = Cipher(AES(key.encrypt), CTR(iv)).encryptor()
    yield from map(encryptor.update, _pieces(stream, size))


def _pieces(stream: BinaryIO, left: int) -> Iterator[bytes]:
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise FormatError("it ends before its end")
        left -= len(piece)
        yield piece


def encrypt(key: MasterKey, plain: bytes, iv: bytes) -> bytes:
    """Encrypt and authenticate under a fresh random `iv` of 16 bytes."""
    ciphertext = _ctr(key, iv, plain)
    return iv + ciphertext + _mac(key, iv, ciphertext)


def unpack(plain: bytes, limit: int, repository: int = 2) -> bytes:
    """Return an unpacked file's JSON as `inflate` does."""
    return b"".join(inflate(plain, limit, repository))


def inflate(plain: bytes | Iterator[bytes], limit: int, repository: int = 2) -> Iterator[bytes]:
    """Yield an unpacked file's JSON piece by piece, decompressed if need be.

    LimitError beyond `limit` bytes; FormatError for what is compressed in a repository of format 1: restic refuses it there.
    """
    pieces = iter((plain,)) if isinstance(plain, bytes) else plain
    first = next(pieces, b"")
    if not first or first[0] in b"{[":
        left = limit
        for piece in chain((first,), pieces):
            left -= len(piece)
            if left < 0:
                raise LimitError(f"more than {limit} bytes")
            yield piece
        return
    if first[0] != COMPRESSED:
        raise FormatError("neither JSON nor a compressed file")
    if repository == 1:
        raise FormatError("compressed, in a repository of format 1: restic refuses it")
    yield from decompress(chain((first[1:],), pieces), limit)


def decompress(frame: bytes | Iterator[bytes], limit: int) -> Iterator[bytes]:
    """Yield what a zstd frame holds piece by piece; LimitError beyond `limit` bytes."""
    left = limit
    try:
        # decompress(max_output_size=) is ignored where the frame names its size; a reader is bounded both ways.
        source: Any = BytesIO(frame) if isinstance(frame, bytes) else _Reader(frame)
        with zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).stream_reader(source) as reader:
            while piece := reader.read(min(PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    raise LimitError(f"it inflates to more than {limit} bytes")
                yield piece
    except zstandard.ZstdError as error:
        raise FormatError("its compressed frame is broken") from error


class _Reader(RawIOBase):
    """Pieces as a file that is read once, from its beginning."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._held and (piece := next(self._pieces, None)) is not None:
            self._held = memoryview(piece)
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count


def _mac(key: MasterKey, iv: bytes, ciphertext: bytes) -> bytes:
    return Poly1305.generate_tag(_one_time_key(key, iv), ciphertext)


def _one_time_key(key: MasterKey, iv: bytes) -> bytes:
    # ECB of the single block that is the nonce: Poly1305-AES is defined so, and nothing else is encrypted by it.
    encryptor = Cipher(AES(key.mac_k), ECB()).encryptor()  # noqa: S305 - Poly1305-AES enciphers one block: the nonce
    pad = encryptor.update(iv) + encryptor.finalize()
    return key.mac_r + pad


def _ctr(key: MasterKey, iv: bytes, text: bytes) -> bytes:
    encryptor = Cipher(AES(key.encrypt), CTR(iv)).encryptor()
    return encryptor.update(text) + encryptor.finalize()
