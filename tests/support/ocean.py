"""DigitalOcean's API over HTTP, as its published description has it, and over the sandbox's hypervisor: a droplet is a machine that boots.

Every request and every answer is held against the description (digitalocean.json): what it does not know, the fake can not say.
"""

from __future__ import annotations

import configparser
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from openapi_schema_validator import OAS30Validator

from tests.support.instances import Fleet

DESCRIPTION: dict[str, Any] = json.loads(Path(__file__).with_name("digitalocean.json").read_text())["paths"]
TOKEN = "dop_v1_" + "0123456789abcdef" * 4
IMAGE = 152_601_987
SIZES = {"s-2vcpu-4gb": 0.03571, "s-4vcpu-8gb": 0.07143}
REGIONS = ("ams3", "fra1", "nyc1")
UNAUTHORIZED = {"id": "Unauthorized", "message": "Unable to authenticate you"}
NOT_FOUND = {"id": "not_found", "message": "The resource you were accessing could not be found."}
LOST = 0
"""Instead of a status: the request is carried out, and its answer lost."""


def unprocessable(sentence: str) -> tuple[int, dict[str, str]]:
    return HTTPStatus.UNPROCESSABLE_ENTITY, {"id": "unprocessable_entity", "message": sentence}


@dataclass
class Ocean:
    """The API at `url`. `full` are sizes in regions without room; `blows` are statuses that the next calls are answered with instead.

    `asked` are the requests: method, path and body. `digest`: what the image's tag says. `blind` lists show nothing yet. `late`: no droplet shows its
    tags yet, which are applied after it was made.
    """

    park: Fleet
    url: str = ""
    digest: str = ""
    blind: int = 0
    late: bool = False
    image_regions: tuple[str, ...] = REGIONS
    full: set[tuple[str, str]] = field(default_factory=set)
    blows: dict[str, list[int]] = field(default_factory=dict)
    sentences: list[str] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    droplets: dict[int, dict[str, Any]] = field(default_factory=dict)
    tags: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, target: str, token: str, body: Any) -> tuple[int, Any]:
        """Answer one request."""
        url = urlsplit(target)
        found = [path for path in DESCRIPTION if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), url.path)]
        operation = DESCRIPTION[found[0]][method.lower()]
        query = dict(parse_qsl(url.query))
        assert set(query) <= set(operation["query"]), query
        if "body" in operation:
            OAS30Validator(operation["body"]).validate(body)
        last = unquote(url.path.rpartition("/")[2])
        self.asked.append((method, url.path, body))
        with self.lock:
            if token != f"Bearer {TOKEN}":
                status, said = int(HTTPStatus.UNAUTHORIZED), UNAUTHORIZED
            elif (blow := next(iter(self.blows.get(f"{method} {found[0]}", [])), None)) is not None:
                self.blows[f"{method} {found[0]}"].pop(0)
                status, said = blow, {"id": "server_error", "message": "blown"}
                if blow == LOST:
                    self._do(method, found[0], last, query, body)
            else:
                status, said = self._do(method, found[0], last, query, body)
        known = operation["responses"].get(str(status), operation["responses"]["default"])
        if said is not None:
            OAS30Validator(known["schema"]).validate(said)
        return status, said

    def _do(self, method: str, path: str, last: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        match method, path:
            case "POST", "/v2/droplets":
                return self._create(body)
            case "GET", "/v2/droplets":
                self.blind, is_blind = max(0, self.blind - 1), self.blind > 0
                found = [one for one in self.droplets.values() if not is_blind and query.get("tag_name") in {None, *one["tags"]}]
                page, size = int(query.get("page", 1)), int(query.get("per_page", 20))
                more = {"pages": {"next": f"{self.url}/v2/droplets?page={page + 1}"}} if len(found) > page * size else {}
                shown = [self._shown(one) for one in found[(page - 1) * size : page * size]]
                return HTTPStatus.OK, {"droplets": shown, "links": more, "meta": {"total": len(found)}}
            case "GET", "/v2/droplets/{droplet_id}":
                found_one = self.droplets.get(int(last))
                return (HTTPStatus.OK, {"droplet": self._shown(found_one)}) if found_one else (HTTPStatus.NOT_FOUND, NOT_FOUND)
            case "DELETE", "/v2/droplets/{droplet_id}":
                if (gone := self.droplets.pop(int(last), None)) is None:
                    return HTTPStatus.NOT_FOUND, NOT_FOUND
                self.park.plant.client("ec2").terminate_instances(InstanceIds=[gone["instance"]])
                return HTTPStatus.NO_CONTENT, None
            case "GET", "/v2/images/{image_id}":
                return (HTTPStatus.OK, {"image": self._image()}) if int(last) == IMAGE else (HTTPStatus.NOT_FOUND, NOT_FOUND)
            case "DELETE", "/v2/tags/{tag_id}":
                if last not in self.tags:
                    return HTTPStatus.NOT_FOUND, NOT_FOUND
                self.tags.discard(last)
                for one in self.droplets.values():
                    one["tags"] = [tag for tag in one["tags"] if tag != last]
                return HTTPStatus.NO_CONTENT, None
        raise AssertionError(f"{method} {path} is not faked")

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        if self.sentences:
            return unprocessable(self.sentences.pop(0))
        if body["image"] != IMAGE:
            return unprocessable("You specified an invalid image for Droplet creation.")
        if body["size"] not in SIZES or body["region"] not in REGIONS or (body["size"], body["region"]) in self.full:
            return unprocessable("Size is not available in this region.")
        assert all(re.fullmatch(r"[a-zA-Z0-9_\-:]{1,255}", tag) for tag in body["tags"]), body["tags"]
        plant = self.park.plant
        (made,) = plant.client("ec2").run_instances(  # without an instance profile: a droplet has no role
            ImageId=plant.image_id,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            UserData=body["user_data"],
            NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": plant.subnets[0], "Groups": [plant.security_group]}],
        )["Instances"]
        droplet = {
            "id": 3_164_444 + len(self.asked),
            "instance": made["InstanceId"],
            "name": body["name"],
            "size": body["size"],
            "region": body["region"],
            "tags": list(body["tags"]),
            "created": datetime.now(UTC).replace(microsecond=0),
            "looks": 0,
        }
        self.tags |= set(body["tags"])
        self.droplets[droplet["id"]] = droplet
        return HTTPStatus.ACCEPTED, {"droplet": self._shown(droplet), "links": {"actions": []}}

    def _shown(self, one: dict[str, Any]) -> dict[str, Any]:
        (reservation,) = self.park.plant.client("ec2").describe_instances(InstanceIds=[one["instance"]])["Reservations"]
        (instance,) = reservation["Instances"]
        one["looks"] += 1
        state = instance["State"]["Name"]
        status = "active" if state in {"pending", "running"} else "off"
        if one["looks"] < 3:  # a new droplet has no network yet
            status = "new"
        address = instance.get("PrivateIpAddress")
        networks = [{"ip_address": address, "netmask": "255.255.240.0", "gateway": address, "type": kind} for kind in ("public", "private")]
        return {
            "id": one["id"],
            "name": one["name"],
            "memory": 4096,
            "vcpus": 2,
            "disk": 80,
            "locked": status == "new",
            "status": status,
            "created_at": one["created"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "features": [],
            "backup_ids": [],
            "next_backup_window": {},
            "snapshot_ids": [],
            "image": self._image(),
            "volume_ids": [],
            "size": {
                "slug": one["size"],
                "memory": 4096,
                "vcpus": 2,
                "disk": 80,
                "transfer": 4.0,
                "price_monthly": SIZES[one["size"]] * 672,
                "price_hourly": SIZES[one["size"]],
                "regions": list(REGIONS),
                "available": True,
                "description": "Basic",
            },
            "size_slug": one["size"],
            "networks": {"v4": [] if status == "new" else networks, "v6": []},
            "region": {"name": one["region"], "slug": one["region"], "features": [], "available": True, "sizes": list(SIZES)},
            "tags": [] if self.late else one["tags"],
            "vpc_uuid": "760e09ef-dc84-11e8-981e-3cfdfeaae000",
        }

    def _image(self) -> dict[str, Any]:
        return {
            "id": IMAGE,
            "name": "maintainer",
            "type": "snapshot",
            "distribution": "Debian",
            "slug": None,
            "public": False,
            "regions": list(self.image_regions),
            "created_at": "2026-01-01T00:00:00Z",
            "min_disk_size": 25,
            "size_gigabytes": 2.5,
            "description": "",
            "tags": [f"maintainer-digest:{self.digest}"],
            "status": "available",
        }


@contextmanager
def ocean(park: Fleet) -> Iterator[Ocean]:
    """Serve it on the loopback; every droplet that is left at the end is destroyed."""
    sea = Ocean(park, digest=park.plant.digest)

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, said = sea.answer(self.command, self.path, self.headers.get("Authorization", ""), json.loads(given) if given else None)
            if status == LOST:
                self.close_connection = True
                return
            packed = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(packed)))
            self.end_headers()
            self.wfile.write(packed)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - as the library calls them

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sea.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield sea
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        if left := [one["instance"] for one in sea.droplets.values()]:
            park.plant.client("ec2").terminate_instances(InstanceIds=left)


SECTION = """
[group.sandbox.droplet]
image = {image}
image_digest = "{digest}"
regions = ["fra1", "ams3"]
sizes = ["s-2vcpu-4gb", "s-4vcpu-8gb"]
ssh_port = {port}
credentials = "file:{keys}"

[digitalocean]
token = "file:{token}"
endpoint = "{url}"
"""


def configure(park: Fleet, sea: Ocean, folder: Path) -> None:
    """Let the group of a configuration run on droplets, with the keys of the maintenance identity."""
    kept = configparser.ConfigParser()
    kept.read(park.directory / "credentials")
    mine = kept["maintenance"]
    keys, token = folder / "keys.json", folder / "token"
    keys.write_text(json.dumps({"AccessKeyId": mine["aws_access_key_id"], "SecretAccessKey": mine["aws_secret_access_key"]}))
    token.write_text(TOKEN + "\n")
    text = SECTION.format(image=IMAGE, digest=park.plant.digest, port=park.plant.ssh_port, keys=keys, token=token, url=sea.url)
    park.configure('compute = "ec2"', 'compute = "digitalocean"\n' + text)
