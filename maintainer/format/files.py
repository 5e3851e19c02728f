"""Keys, config, snapshots and indexes of a repository: bytes → frozen values (restic's design document), bounded."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from maintainer.core.moments import from_text
from maintainer.format.crypto import FormatError, MasterKey, decrypt, derive, unpack

MEMORY_LIMIT = 128 << 20
WORK_LIMIT = 1 << 24
"""What opening a key may cost, apart: restic's own calibration gives N=32768, r=8, p=6."""
INFLATED = {"snapshot": 16 << 20, "config": 64 << 10, "lock": 64 << 10}
"""The largest JSON of each kind that is parsed, in bytes."""
PARSED = 96 << 20
"""The most memory, in bytes, that any JSON may come to as objects of Python's: lists of nothing come to twenty times their text."""
MASTER_KEY_JSON = 4096
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
        """Tell whether opening it stays within the limits of memory and work."""
        return 128 * self.n * self.r <= MEMORY_LIMIT and self.n * self.r * self.p <= WORK_LIMIT


@dataclass(frozen=True, slots=True)
class Config:
    """The repository's identity and format."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A snapshot as it claims to be. Every text in it is hostile."""

    time: datetime
    host: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    tree: str


def parse_key(body: bytes) -> KeyFile:
    """Read a key file; FormatError for anything else."""
    raw = _object(body)
    try:
        if raw["kdf"] != "scrypt":
            raise FormatError("a key derivation that restic does not use")
        made = KeyFile(
            n=_count(raw["n"]),
            r=_count(raw["r"]),
            p=_count(raw["p"]),
            salt=base64.b64decode(raw["salt"]),
            sealed=base64.b64decode(raw["data"]),
            **{name: _text(raw.get(field) or "") for name, field in CLAIMED},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no key file: {error}") from error
    if made.n < 2 or made.n & (made.n - 1):  # noqa: PLR2004 - scrypt's own condition
        raise FormatError("scrypt's N is no power of two")
    return made


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
    raw = _object(plain)
    try:
        return MasterKey(base64.b64decode(raw["encrypt"]), base64.b64decode(raw["mac"]["k"]), base64.b64decode(raw["mac"]["r"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError("its master key is malformed") from error


@dataclass(frozen=True, slots=True)
class LockFile:
    """A lock as it claims to be: of which host, and whether it wants to be alone. When it was refreshed its object's date tells."""

    host: str
    exclusive: bool


def parse_lock(key: MasterKey, body: bytes) -> LockFile:
    """Open and read a lock."""
    raw = _open(key, body, "lock")
    try:
        return LockFile(_text(raw.get("hostname", "")), raw.get("exclusive") is True)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no lock: {error}") from error


def parse_config(key: MasterKey, body: bytes) -> Config:
    """Open and read config."""
    raw = _open(key, body, "config")
    try:
        return Config(str(raw["id"]), int(raw["version"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no config: {error}") from error


def parse_snapshot(key: MasterKey, body: bytes) -> SnapshotFile:
    """Open and read a snapshot."""
    raw = _open(key, body, "snapshot")
    try:
        paths, tags = raw.get("paths"), raw.get("tags")
        return SnapshotFile(from_text(_text(raw["time"])), _text(raw.get("hostname", "")), _texts(paths), _texts(tags), _text(raw["tree"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"no snapshot: {error}") from error


def _open(key: MasterKey, body: bytes, kind: str) -> dict[str, Any]:
    return _object(unpack(decrypt(key, body), INFLATED[kind]))


def _object(body: bytes) -> dict[str, Any]:
    dearest = _dearest(body)
    if dearest > PARSED:
        raise FormatError(f"its JSON may take {dearest >> 20} MiB of memory")
    try:
        # As strict as Go, which restic is read by: UTF-8 alone. Python would guess at UTF-16.
        raw = json.loads(body.decode(), object_pairs_hook=folded)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"no JSON: {error}") from error
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


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise FormatError("a cost that is no positive number")
    return value


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError("a field that should be a list")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FormatError("a field that should be text")
    return value


def _texts(values: object) -> tuple[str, ...]:
    return tuple(_text(value) for value in _list(values))
