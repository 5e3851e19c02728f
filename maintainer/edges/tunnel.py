"""A way to an instance that no network is open to: the WebSocket tunnel of an EC2 Instance Connect Endpoint.

Protocol: EC2 user guide, "Connect to your instances using EC2 Instance Connect Endpoint"; the AWS CLI's `ec2-instance-connect open-tunnel`.
A tunnel lives for an hour at most, and an endpoint holds twenty: whoever follows for longer comes again.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from maintainer.core.errors import AccessDeniedError

SERVICE = "ec2-instance-connect"
LONGEST_S = 3600
"""What the service allows a tunnel."""
SIGNED_FOR_S = 60
OPEN_S, CLOSE_S = 15.0, 1.0
CHUNK = 32 * 1024
_DENIED = (401, 403)

# Whatever a connection ends of reaches us as an exception; its own loggers would write it to stderr, too.
logging.getLogger("websockets").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint, and who signs: `credentials` gives the keys of the moment. `secure` is False for an emulator alone."""

    id: str
    host: str
    region: str
    credentials: Callable[[], Credentials | None]
    secure: bool = True

    def open(self, address: str, port: int) -> Tunnel:
        """Open a tunnel to a private address. OSError when nobody answers, AccessDeniedError when the signer may not."""
        url, stack = self._signed(address, port), ExitStack()
        try:
            connection = stack.enter_context(connect(url, open_timeout=OPEN_S, close_timeout=CLOSE_S, compression=None, max_size=None))
        except InvalidStatus as error:
            status = error.response.status_code
            said = (error.response.body or b"").decode(errors="replace")[:200].strip()
            if status in _DENIED:
                raise AccessDeniedError(
                    f"{self.id} opens no tunnel to {address} port {port}: {said or status}",
                    guidance=f"allow {SERVICE}:OpenTunnel on it, for this port and network",
                ) from error
            raise OSError(f"{self.id} answers {status} {said}".strip()) from error
        except WebSocketException as error:
            raise OSError(f"{self.id}: {error}") from error
        return Tunnel(connection, stack)

    def _signed(self, address: str, port: int) -> str:
        """Return the URL of one tunnel, which whoever has it can open for a minute."""
        wanted = {"instanceConnectEndpointId": self.id, "remotePort": port, "privateIpAddress": address, "maxTunnelDuration": LONGEST_S}
        scheme = "https" if self.secure else "http"
        request = AWSRequest("GET", f"{scheme}://{self.host}/openTunnel?{urlencode(wanted)}")
        try:
            found = self.credentials()
            if found is None:
                raise OSError(f"no credentials for {self.id}")
            keys = found.get_frozen_credentials()
        except BotoCoreError as error:
            raise OSError(f"no credentials for {self.id} ({error})") from error
        SigV4QueryAuth(keys, SERVICE, self.region, expires=SIGNED_FOR_S).add_auth(request)
        return f"ws{str(request.url).removeprefix('http')}"


class Tunnel:
    """An open tunnel: `near` is the socket to talk to. Two threads join the other end of its pair to the WebSocket. `why` it ended."""

    def __init__(self, connection: ClientConnection, open_with: ExitStack) -> None:
        self.why = ""
        self._connection = connection
        self._open_with = open_with
        self.near, self._far = socket.socketpair()
        for carry in (self._inward, self._outward):
            threading.Thread(target=carry, name="tunnel", daemon=True).start()

    def _inward(self) -> None:
        """Carry what comes to the near end; at its end say why."""
        try:
            for frame in self._connection:
                self._far.sendall(frame if isinstance(frame, bytes) else frame.encode())
        except ConnectionClosed as error:
            self.why = error.rcvd.reason if error.rcvd else "the tunnel broke"
        except OSError:
            pass  # the near end was closed
        else:
            self.why = self._connection.close_reason or ""
        with suppress(OSError):
            self._far.shutdown(socket.SHUT_RDWR)  # which ends the other thread's wait, too
        self._far.close()

    def _outward(self) -> None:
        """Carry what goes; at its end close the WebSocket."""
        with suppress(OSError, ConnectionClosed):
            while chunk := self._far.recv(CHUNK):
                self._connection.send(chunk)
        self._open_with.close()
