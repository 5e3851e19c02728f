"""What a gateway is asked to serve, as frozen values and as JSON; and its users, as a password file. No secrets: they are named."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.job import Access, Place

VERSION = 1
USER = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
"""A user is a host, and the folder of its repository: lower case, and nothing that a path or a password file reads otherwise."""
_HASH = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
"""bcrypt's modular crypt format."""


@dataclass(frozen=True, slots=True)
class GatewayJob:
    """Serve what lies below `place`, a folder a user, with TLS on `port`.

    `tls` names the source of the private key and its certificates, in PEM; below the parameter path `users` lies each user's bcrypt hash.
    """

    name: str
    access: Access
    place: Place
    port: int
    tls: str
    users: str
    look_every_s: float = 20.0
    """How long a new host waits at most until it may come, and a retired one goes on."""

    def encode(self) -> str:
        """Write the job as one line of JSON."""
        return json.dumps({"v": VERSION, **asdict(self)}, separators=(",", ":"))


def decode(text: str) -> GatewayJob:
    """Read a job back; ConfigurationError when it was written by another release."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("v") != VERSION:
            raise ValueError("version")
        return GatewayJob(**{**raw, "access": Access(**raw["access"]), "place": Place(**raw["place"])})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = Problem(
            "gateway", f"unreadable ({error})", f"a job of version {VERSION}", "install the same release for gateway and controller"
        )
        raise ConfigurationError((problem,)) from error


def password_file(users: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Return an Apache password file for users and their hashes, and the names that were left out, since one of both is no such."""
    good = {name: digest for name, digest in sorted(users.items()) if USER.fullmatch(name) and _HASH.fullmatch(digest)}
    return "".join(f"{name}:{digest}\n" for name, digest in good.items()), tuple(sorted(users.keys() - good.keys()))
