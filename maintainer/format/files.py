"""Keys, config, snapshots and indexes of a repository: bytes → frozen values (restic's design document), bounded."""

from __future__ import annotations

import json
import re
from binascii import a2b_base64
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from maintainer.core.moments import from_text
from maintainer.format.boundary import FormatError, reader
from maintainer.format.crypto import IV, MAC, MasterKey, decrypt, derive, memory_of, unpack

MEMORY_LIMIT = 128 << 20
WORK_LIMIT = 1 << 24
"""What opening a key may cost, apart: restic's own calibration gives N=32768, r=8, p=6."""
INFLATED = {"snapshot": 16 << 20, "config": 64 << 10, "lock": 64 << 10}
"""The largest JSON of each kind that is parsed, in bytes."""
PARSED = 96 << 20
"""The most memory, in bytes, that any JSON may come to as objects of Python's: lists of nothing come to twenty times their text."""
FORMATS = (1, 2)
MASTER_KEY_JSON = 4096
MASTER_KEY_BYTES = (32, 16, 16)
CLAIMED = (("user", "username"), ("host", "hostname"), ("created", "created"))


class WrongPasswordError(FormatError):
    """A sound key file does not open with this password."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file's public part: the cost of scrypt, its salt, and the sealed master key; and who is said to have made it."""

    n: int
    r: int
    p: int
    salt: bytes
    sealed: bytes
    user: str = ""
    host: str = ""
    created: str = ""

    @property
    def is_affordable(self) -> bool:
        """Tell whether opening it stays within the limits of memory and work, all three counted together.

        A block of 128·r bytes is mixed n times in each of p lanes; and p lanes are filled first, which costs as much as mixing 8 times.
        """
        return memory_of(self.n, self.r, self.p) <= MEMORY_LIMIT and (self.n + 8) * self.r * self.p <= WORK_LIMIT


@dataclass(frozen=True, slots=True)
class Config:
    """The repository's identity, its format (1 or 2), and the polynomial by which it cuts files into blobs."""

    id: str
    version: int
    polynomial: str = ""


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot as it claims to be. Every text in it is hostile."""

    time: datetime
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    tree: str


@reader("key file")
def parse_key(body: bytes) -> KeyFile:
    """Read a key file; FormatError for anything else.

    Whatever restic can not read in one it fails over, before it has tried the next: so each field must be as it wants it.
    """
    raw = object_of(body)
    if raw.get("created") is not None:
        from_text(_text(raw["created"]))
    if raw["kdf"] != "scrypt":
        raise FormatError("a key derivation that restic does not use")
    made = KeyFile(
        n=_count(raw["n"]),
        r=_count(raw["r"]),
        p=_count(raw["p"]),
        salt=_bytes(raw["salt"]),
        sealed=_bytes(raw["data"]),
        **{name: _text("" if raw.get(field) is None else raw[field]) for name, field in CLAIMED},
    )
    if len(made.sealed) < IV + MAC:
        raise FormatError("a sealed master key that is too short to be one")
    if made.n < 2 or made.n & (made.n - 1):  # noqa: PLR2004 - scrypt's own condition
        raise FormatError("scrypt's N is no power of two")
    return made


@reader("master key")
def open_key(key: KeyFile, password: str) -> MasterKey:
    """Open a key file; WrongPasswordError if this is not its password, FormatError if it would cost too much."""
    if not key.is_affordable:
        raise FormatError(f"opening it would cost N={key.n}, r={key.r}, p={key.p}: over the limit")
    user = derive(password, key.salt, n=key.n, r=key.r, p=key.p)
    try:
        plain = decrypt(user, key.sealed)
    except FormatError as error:
        raise WrongPasswordError("the password does not open it") from error
    if len(plain) > MASTER_KEY_JSON:
        raise FormatError("its master key is too long")
    raw = object_of(plain)
    made = MasterKey(_bytes(raw["encrypt"]), _bytes(raw["mac"]["k"]), _bytes(raw["mac"]["r"]))
    if (len(made.encrypt), len(made.mac_k), len(made.mac_r)) != MASTER_KEY_BYTES:
        raise FormatError("its master key is malformed")
    return made


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock as it claims to be: of which host, and whether it wants to be alone. When it was refreshed its object's date tells."""

    host: str
    exclusive: bool


@reader("lock")
def parse_lock(key: MasterKey, body: bytes) -> LockFile:
    """Open and read a lock; FormatError for anything else."""
    raw = _open(key, body, "lock")
    return LockFile(_text(raw.get("hostname") or ""), raw.get("exclusive") is True)


@reader("config")
def parse_config(key: MasterKey, body: bytes) -> Config:
    """Open and read config; FormatError for anything else."""
    raw = _open(key, body, "config")
    made = Config(_text(raw["id"]), _count(raw["version"]), _text(raw["chunker_polynomial"]))
    if made.version not in FORMATS:
        raise FormatError(f"format {made.version}, which restic does not know")
    return made


@reader("snapshot")
def parse_snapshot(key: MasterKey, body: bytes, *, repository: int = 2) -> SnapshotFile:
    """Open and read a snapshot of a repository of this format; FormatError for anything else."""
    raw = _open(key, body, "snapshot", repository)
    paths, tags = raw.get("paths"), raw.get("tags")
    return SnapshotFile(from_text(_text(raw["time"])), _text(raw.get("hostname") or ""), _texts(paths), _texts(tags), _text(raw["tree"]))


def _open(key: MasterKey, body: bytes, kind: str, repository: int = 2) -> dict[str, Any]:
    return object_of(unpack(decrypt(key, body), INFLATED[kind], repository))


def object_of(body: bytes) -> dict[str, Any]:
    """Read JSON that is an object, within what its reader may take of memory; FormatError for anything else."""
    dearest = _dearest(body)
    if dearest > PARSED:
        raise FormatError(f"its JSON may take {dearest >> 20} MiB of memory")
    # As strict as Go, which restic is read by: UTF-8 alone, where Python would guess at UTF-16, and no NaN.
    raw = json.loads(body.decode(), object_pairs_hook=folded, parse_constant=_refuse)
    if not isinstance(raw, dict):
        raise FormatError("no JSON object")
    return raw


def _dearest(text: bytes) -> int:
    """Return how many bytes this JSON may take as Python's objects, at the very most: the text decoded, and 64-bit CPython's own sizes."""
    separators = text.count(b",") + text.count(b":")
    return (3 if text.isascii() else 9) * len(text) + 232 * text.count(b"{") + 64 * text.count(b"[") + 110 * separators


def folded(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read an object as Go does, to which `PACKS` and `packs` are one field: who says both wants to be read in two ways."""
    raw = {name.casefold(): value for name, value in pairs}
    if len(raw) != len(pairs):
        raise FormatError("a field that is there twice")
    return raw


def _refuse(constant: str) -> object:
    raise FormatError(f"{constant}, which is no JSON")


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 1 << 32:
        raise FormatError("a number that is not positive, or too large")
    return value


def _bytes(value: object) -> bytes:
    """Read base64 as Go does, which passes over the ends of lines and takes nothing else that is none of its letters."""
    text = _text(value).replace("\r", "").replace("\n", "")
    if len(text) % 4 or not _BASE64.fullmatch(text):
        raise FormatError("a field that should be base64")
    return a2b_base64(text)


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError("a field that should be a list")
    return value


def _text(value: object) -> str:
    """Take a text as Go does, to which half of a surrogate pair is an unknown letter: Python would fail over it in printing."""
    if not isinstance(value, str):
        raise FormatError("a field that should be text")
    return _HALVES.sub("\ufffd", value)


_BASE64 = re.compile("[A-Za-z0-9+/]*={0,2}")
_HALVES = re.compile("[\ud800-\udfff]")


def _texts(values: object) -> tuple[str, ...]:
    return tuple(_text(value) for value in _list(values))
