"""Whether a gateway answers: its certificate is verified, and who shows no password must be refused."""

from __future__ import annotations

import http.client
import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

from maintainer.core.errors import ConfigurationError, Problem

LIMIT_S = 5.0
_REFUSED = 401


@dataclass(frozen=True, slots=True)
class Door:
    """Where a gateway listens, as whom its certificate must name it, and whose word is taken for that: certificates in PEM.

    Without them it is that of those whom this machine trusts.
    """

    address: str
    port: int
    name: str
    trusted: str


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


def _trust(trusted: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=trusted or None)
    except (ssl.SSLError, ValueError) as error:
        do = "write them with maintainer gateway certify, or name what signs the gateway's certificate"
        problem = Problem("[group.NAME.gateway] certificate", f"no certificates ({error})", "certificates in PEM", do)
        raise ConfigurationError((problem,)) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
