"""The sandbox's EC2 Instance Connect Endpoints: what AWS serves at /openTunnel, in front of the endpoint's other services.

Who asks is asked of the endpoint's IAM, as for any action: `ec2-instance-connect:OpenTunnel`, with its condition keys.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from maintainer.sandbox.plant import NETWORK
from maintainer.sandbox.provision import ACCOUNT, REGION

PATH = "/openTunnel"
ENDPOINTS = "instance-connect.json"
"""The file, in a sandbox's directory, in which EC2 writes the ids of the endpoints that there are."""
MOST = 20
"""Tunnels that an endpoint holds (EC2 user guide, "Quotas for EC2 Instance Connect Endpoint")."""
CUT = "network-is-cut"
"""The file, in a sandbox's directory, while which is there no tunnel is opened, and none goes on."""
CHUNK = 32 * 1024
_LOOK_S = 0.2
_NORMAL, _REFUSED = 1000, 1008


class Tunnels:
    """An ASGI application before another, that answers tunnels alone."""

    def __init__(self, application: Any, directory: Path) -> None:
        self._application = application
        self._endpoints = directory / ENDPOINTS
        self._cut = directory / CUT
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer, or pass on."""
        if scope["type"] != "websocket" or scope["path"] != PATH:
            await self._application(scope, receive, send)
            return
        await receive()
        wanted = {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        if refused := self._refuse(scope, wanted):
            status, reason = refused
            await send({"type": "websocket.http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "websocket.http.response.body", "body": reason.encode()})
            return
        name = wanted["instanceConnectEndpointId"]
        await send({"type": "websocket.accept"})
        self._open[name] += 1
        try:
            async with asyncio.timeout(int(wanted.get("maxTunnelDuration", "3600"))):
                reason = await _carry(wanted["privateIpAddress"], int(wanted["remotePort"]), receive, send, self._cut)
        except TimeoutError:
            reason = "Max tunnel duration exceeded"
        finally:
            self._open[name] -= 1
        with suppress(OSError, RuntimeError):
            await send({"type": "websocket.close", "code": _NORMAL if not reason else _REFUSED, "reason": reason})

    def _refuse(self, scope: Any, wanted: dict[str, str]) -> tuple[int, str] | None:
        """Return status and reason where the tunnel is refused."""
        from ministack.core import iam_evaluator  # noqa: PLC0415 - of the process that serves

        if self._cut.exists():
            return 503, "the network is cut"
        name, address = wanted.get("instanceConnectEndpointId", ""), wanted.get("privateIpAddress", "")
        known = json.loads(self._endpoints.read_bytes()) if self._endpoints.exists() else []
        if name not in known:
            return 404, f"EC2 Instance Connect Endpoint {name} does not exist"
        checked = iam_evaluator.authenticate_handshake(scope)
        if checked is None or isinstance(checked, iam_evaluator.AuthError):
            return 403, getattr(checked, "message", "the request is not signed")
        context = {f"ec2-instance-connect:{key}": wanted.get(key, "") for key in ("remotePort", "privateIpAddress", "maxTunnelDuration")}
        place = f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance-connect-endpoint/{name}"
        caller = wanted["X-Amz-Credential"].partition("/")[0]
        denied = iam_evaluator.enforce(caller, "ec2-instance-connect:OpenTunnel", "ec2-instance-connect", REGION, place, context)
        if denied:
            return 403, "User is not authorized to perform: ec2-instance-connect:OpenTunnel"
        if ipaddress.ip_address(address) not in ipaddress.ip_network(NETWORK):
            return 400, f"{address} is no address of the endpoint's network"
        return (429, "Too many tunnels") if self._open[name] >= MOST else None


def _is_there(file: Path) -> bool:
    return file.exists()


async def _carry(address: str, port: int, receive: Any, send: Any, cut: Path) -> str:
    """Carry bytes both ways until one side ends; return why, where it is no ordinary end."""
    try:
        reader, writer = await asyncio.open_connection(address, port)
    except OSError as error:
        return f"Unable to connect to target: {os.strerror(error.errno or 0)}"

    async def inward() -> None:
        while chunk := await reader.read(CHUNK):
            await send({"type": "websocket.send", "bytes": chunk})

    async def outward() -> None:
        while (message := await receive())["type"] == "websocket.receive":
            writer.write(message["bytes"] or b"")
            await writer.drain()

    async def watch() -> None:
        while not _is_there(cut):  # noqa: ASYNC110 - a file is what tells
            await asyncio.sleep(_LOOK_S)
        raise ConnectionResetError("the network is cut")

    tasks = [asyncio.ensure_future(one()) for one in (inward, outward, watch)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next((f"Connection closed: {failed}"[:100] for one in done if (failed := one.exception())), "")
    finally:
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        writer.close()
