"""Whether a gateway answers: its certificate is verified, and who shows no password must be refused."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from maintainer.core.errors import ConfigurationError, Problem

LIMIT_S = 5.0
_REFUSED = 401


@dataclass(frozen=True, slots=True)
class Door:
    """Where a gateway listens, as whom its certificate must name it, and what is trusted to say so (without: what this machine trusts)."""

    address: str
    port: int
    name: str
    trusted: Path | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What it said: `why` it is not as it must be, empty where it is; and until when its certificate holds."""

    why: str
    until: datetime | None = None


def knock(door: Door) -> Answer:
    """Ask a gateway for a repository, as nobody."""
    context = _trust(door.trusted)
    try:
        with (
            socket.create_connection((door.address, door.port), LIMIT_S) as plain,
            context.wrap_socket(plain, server_hostname=door.name) as safe,
        ):
            shown = safe.getpeercert() or {}
            until = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
            with closing(http.client.HTTPConnection(door.address)) as connection:
                connection.sock = safe
                connection.request("GET", "/maintainer/config", headers={"Host": door.name})
                status = connection.getresponse().status
    except ssl.SSLCertVerificationError as error:
        return Answer(f"its certificate is not to be trusted: {error.verify_message}")
    except (OSError, http.client.HTTPException) as error:
        return Answer(f"it does not answer ({getattr(error, 'strerror', None) or type(error).__name__})")
    return Answer("" if status == _REFUSED else f"whoever shows no password gets {status}, not {_REFUSED}", until)


def _trust(trusted: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(trusted) if trusted else None)
    except (OSError, ssl.SSLError) as error:
        do = "write it with maintainer gateway certify, or name what signs the gateway's certificate"
        found = f"{trusted} can not be read ({error.strerror or type(error).__name__})"
        raise ConfigurationError((Problem("[group.NAME.gateway] certificate", found, "certificates in PEM", do),)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
