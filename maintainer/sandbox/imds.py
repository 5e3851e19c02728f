"""A machine's metadata service: IMDSv2 alone, as an instance that requires tokens has it (EC2 user guide, "Use IMDS")."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from aiohttp import web

from maintainer.edges.clock import Clock
from maintainer.sandbox.provision import ACCOUNT

Tree: TypeAlias = Mapping[str, "str | Tree"]
LONGEST_TOKEN_S = 21_600
SILENT = "metadata-is-silent"
"""The file, in a sandbox's directory, while which is there no machine's service answers."""
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Description:
    """What a machine may know of itself."""

    instance_id: str
    address: str
    zone: str
    instance_type: str
    image_id: str
    mac: str
    lifecycle: str
    role: str

    def tree(self) -> dict[str, str | Tree]:
        """Return latest/meta-data, without what changes while the machine runs."""
        name = f"ip-{self.address.replace('.', '-')}.ec2.internal"
        interface = {"device-number": "0", "local-ipv4s": self.address, "mac": self.mac, "subnet-ipv4-cidr-block": "10.231.0.0/16"}
        return {
            "ami-id": self.image_id,
            "hostname": name,
            "instance-id": self.instance_id,
            "instance-life-cycle": self.lifecycle,
            "instance-type": self.instance_type,
            "local-hostname": name,
            "local-ipv4": self.address,
            "mac": self.mac,
            "network": {"interfaces": {"macs": {self.mac: interface}}},
            "placement": {"availability-zone": self.zone, "region": self.zone[:-1]},
            "services": {"domain": "amazonaws.com", "partition": "aws"},
        }

    def document(self) -> str:
        """Return the instance identity document."""
        return json.dumps(
            {
                "accountId": ACCOUNT,
                "architecture": "x86_64",
                "availabilityZone": self.zone,
                "imageId": self.image_id,
                "instanceId": self.instance_id,
                "instanceType": self.instance_type,
                "privateIp": self.address,
                "region": self.zone[:-1],
                "version": "2017-09-30",
            }
        )


@dataclass
class Metadata:
    """Answers the machine's requests. `credentials` gives the role's keys in the service's own form; `notices` is a directory outside."""

    description: Description
    user_data: bytes
    credentials: Callable[[], Awaitable[str]]
    notices: Path
    clock: Clock
    _tokens: dict[str, float] = field(default_factory=dict, init=False)

    def application(self) -> web.Application:
        """Return it as an application."""
        made = web.Application()
        made.add_routes([web.put("/latest/api/token", self._token), web.get("/{path:.*}", self._get)])
        return made

    async def _token(self, request: web.Request) -> web.Response:
        wish = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not wish.isdigit() or not 1 <= int(wish) <= LONGEST_TOKEN_S:
            return web.Response(status=400)
        if "X-Forwarded-For" in request.headers:
            return web.Response(status=403)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = self.clock.monotonic() + int(wish)
        return web.Response(text=token, headers={"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": wish})

    async def _get(self, request: web.Request) -> web.Response:
        while _is_there(self.notices.parents[2] / SILENT):  # noqa: ASYNC110 - a file is what tells
            await asyncio.sleep(_LOOK_S)
        if self._tokens.get(request.headers.get("X-aws-ec2-metadata-token", ""), 0) < self.clock.monotonic():
            return web.Response(status=401)
        parts = [part for part in request.path.split("/") if part]
        if not parts:
            return web.Response(text="1.0\n2021-03-23\nlatest")
        match parts[1:]:
            case []:
                return web.Response(text="dynamic\nmeta-data\nuser-data")
            case ["user-data"]:
                return web.Response(body=self.user_data) if self.user_data else web.Response(status=404)
            case ["dynamic", *path]:
                return _answer({"instance-identity": {"document": self.description.document()}}, path)
            case ["meta-data", "iam", "security-credentials", role] if role == self.description.role:
                return web.Response(text=await self.credentials())
            case ["meta-data", *path]:
                return _answer(self._tree(), path)
        return web.Response(status=404)

    def _tree(self) -> Tree:
        tree = self.description.tree()
        if self.description.role:
            tree["iam"] = {"security-credentials": {self.description.role: ""}}
        for place, name in (("spot", "instance-action"), ("events/recommendations", "rebalance")):
            notice = self.notices / name
            if notice.exists():
                folder, _, below = place.partition("/")
                leaf = {name: notice.read_text(encoding="utf-8")}
                tree[folder] = {below: leaf} if below else leaf
        return tree


def _is_there(file: Path) -> bool:
    return file.exists()


def _answer(tree: Tree, path: list[str]) -> web.Response:
    node: str | Tree = tree
    for part in path:
        if isinstance(node, str) or part not in node:
            return web.Response(status=404)
        node = node[part]
    if isinstance(node, str):
        return web.Response(text=node)
    return web.Response(text="\n".join(name if isinstance(below, str) else f"{name}/" for name, below in node.items()))
