"""Droplets of one DigitalOcean account, by its official client: create one at the first place that has room, find by tag, look, destroy."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import product
from typing import Any, TypeVar
from urllib.parse import unquote

from maintainer.core.errors import AccessDeniedError, ConfigurationError, MaintainerError, NoInstanceError, Problem
from maintainer.core.moments import from_text, to_text
from maintainer.core.refusals import Reason, Then, judge_droplet
from maintainer.edges.clock import Clock
from maintainer.edges.compute.ec2calls import OnRetry, patiently
from maintainer.edges.compute.shapes import Marks

API = "https://api.digitalocean.com"
OURS = "maintainer"
"""A tag of every droplet of ours: what a cloud firewall is bound to."""
DIGEST = "maintainer-digest"
"""Before the digest, in an image's tag."""
PAGE = 200
LOOK_EVERY_S = 1.0
ACTIVE_WITHIN_S = 300.0
SHOWN_WITHIN_S = 15.0
"""How long a droplet is looked for, whose creation was asked for and not answered."""
CONNECT_S, READ_S = 10, 30
LONGEST_TAG = 255
MARKS_COLONS = 5
UNSEEN = "see its error in DigitalOcean's API reference; the next run tries again"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DropletShape:
    """What is created, and where it may be: every size in every region, in order. `network`: by which of its addresses it is reached."""

    image: int
    digest: str
    sizes: tuple[str, ...]
    regions: tuple[str, ...]
    vpc: str = ""
    network: str = "public"


@dataclass(frozen=True, slots=True)
class Droplet:
    """A droplet as the API describes it. `tag` is the one that carries its marks, if it shows one; `addresses` by network."""

    id: int
    status: str
    size: str
    region: str
    usd_hour: float
    created: datetime
    tag: str
    marks: Marks
    addresses: dict[str, str]

    @property
    def is_off(self) -> bool:
        """Tell whether it runs no more: it has powered itself off, and costs as before until it is destroyed."""
        return self.status in {"off", "archive"}


class ApiError(Exception):
    """What the API answered instead of what was asked for; status 0 is no answer, and then nobody knows whether it was done."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(f"{status} {sentence}" if status else sentence)
        self.status = status
        self.sentence = sentence
        self.taken = judge_droplet(status, sentence)


class Droplets:
    """The droplets of an account. `token` gives its API token, when it is needed.

    Raises AccessDeniedError, ConfigurationError and NoInstanceError; no error quotes the token.
    """

    def __init__(self, token: Callable[[], str], clock: Clock, on_retry: OnRetry, endpoint: str = API) -> None:
        self._token = token
        self._endpoint = endpoint
        self._clock = clock
        self._on_retry = on_retry
        self._made: Any = None
        # Where it is not TLS, settings let no other machine be the endpoint.
        self._how: Any = {"cls": _answer, "enforce_https": endpoint.startswith("https:")}

    def check_image(self, shape: DropletShape) -> None:
        """Refuse an image that is not the pinned one, or that a region has not: before anything costs. ConfigurationError."""
        found = self._repeat("images.get", lambda: self._client.images.get(shape.image, **self._how), gone={})
        key = "image"
        if not (image := found.get("image")):
            raise _wrong(key, f"no image {shape.image} in this account", "the id of a snapshot", "doctl compute image list-user shows them")
        carried = [tag.partition(":")[2] for tag in image.get("tags") or () if tag.startswith(f"{DIGEST}:")]
        if shape.digest not in carried:
            found_there = ", ".join(carried) or "no digest"
            do = "find out who changed it; then pin the digest of the image that you trust"
            raise _wrong("image_digest", f"image {shape.image} carries {found_there}", f"the tag {DIGEST}:{shape.digest}", do)
        if missing := [one for one in shape.regions if not any(there.startswith(one) for there in image["regions"])]:
            do = "add the region to the image (Images, Add to region), or leave it out"
            raise _wrong("regions", f"image {shape.image} is not in {', '.join(missing)}", f"some of {', '.join(image['regions'])}", do)

    def create(self, shape: DropletShape, marks: Marks, user_data: str) -> Droplet:
        """Create one droplet and return it once it has an address. NoInstanceError says what every place answered.

        Whatever is raised, no droplet of these marks is left, but where the API does not show it yet, or does not let us destroy it.
        The API knows no idempotency token: an answer that was lost is looked for by tag.
        """
        tag = tag_of(marks)
        body = {
            "name": re.sub("[^a-z0-9-]", "-", f"maintainer-{marks.group}").strip("-")[:63],
            "image": shape.image,
            "tags": [OURS, owner_tag(marks.owner), tag],
            "user_data": user_data,
            "with_droplet_agent": False,  # it would open the machine to the control panel's console
            "monitoring": False,
            "ipv6": False,
            "backups": False,
            **({"vpc_uuid": shape.vpc} if shape.vpc else {}),
            **({"public_networking": False} if shape.network == "private" else {}),
        }
        try:
            made = self._active(self._at_some_place(shape, body, tag), shape.network)
        except BaseException:
            with suppress(MaintainerError):  # the first error is the one to tell; what is left now, maintainer sweep finds
                self._end_tagged(tag)
            raise
        return replace(made, tag=tag, marks=marks)  # it gets its tags after it was made, and may not show them yet

    def _at_some_place(self, shape: DropletShape, body: dict[str, Any], tag: str) -> Droplet:
        refused: list[str] = []
        waits = False
        for size, region in product(shape.sizes, shape.regions):
            try:
                return self._create({**body, "size": size, "region": region}, tag)
            except ApiError as error:
                if error.taken.then is Then.GIVE_UP:
                    raise translate("droplets.create", error) from None
                waits = waits or error.taken.reason is Reason.QUOTA
                refused.append(f"{size} in {region}: {error.taken.reason}: {error}")
        do = "name more sizes or regions; the next run tries again"
        if waits:
            do = "raise the account's droplet limit (Settings, Team), or destroy what is not needed; the next run tries again"
        raise NoInstanceError(f"no droplet is to be had: {', '.join(refused)}", guidance=do, may_pass=True)

    def _create(self, body: dict[str, Any], tag: str) -> Droplet:
        """Ask for one, again where that may help, and never twice for what was done. ApiError."""

        def ask() -> Droplet:
            try:
                return _droplet(self._once(lambda: self._client.droplets.create(body=body, **self._how))["droplet"])
            except ApiError as error:
                if 0 < error.status < HTTPStatus.INTERNAL_SERVER_ERROR:  # nothing was made, for sure
                    raise
                if (made := self._shown(tag)) is None:
                    raise
                return made

        return self._patient("droplets.create", ask)

    def _shown(self, tag: str) -> Droplet | None:
        """Return the droplet that carries a tag, looking for a while."""
        until = self._clock.monotonic() + SHOWN_WITHIN_S
        while True:
            if found := self.tagged(tag):
                return found[0]
            if self._clock.monotonic() > until:
                return None
            self._clock.sleep(LOOK_EVERY_S)

    def _active(self, made: Droplet, network: str) -> Droplet:
        """Return it once it has an address in that network."""
        until = self._clock.monotonic() + ACTIVE_WITHIN_S
        while self._clock.monotonic() < until:
            if (found := self.look(made.id)) is not None and found.status == "active" and network in found.addresses:
                return found
            self._clock.sleep(LOOK_EVERY_S)
        what = f"droplet {made.id} was created, and has no {network} address after {ACTIVE_WITHIN_S:.0f} s"
        raise NoInstanceError(what, guidance="it is destroyed now; the next run tries again", may_pass=True)

    def look(self, droplet_id: int) -> Droplet | None:
        """Return a droplet, or None where there is none."""
        found = self._repeat("droplets.get", lambda: self._client.droplets.get(droplet_id, **self._how), gone={})
        return _droplet(found["droplet"]) if "droplet" in found else None

    def find(self, owner: str) -> tuple[Droplet, ...]:
        """Return an owner's droplets: what is switched off costs, too."""
        return tuple(self.tagged(owner_tag(owner)))

    def tagged(self, tag: str) -> list[Droplet]:
        """Return the droplets that carry a tag."""
        if not tag:  # the API would list, and we destroy, every droplet of the account
            raise ValueError("no tag to look for")
        return [_droplet(one) for one in self._pages("droplets.list", self._client.droplets.list, "droplets", tag_name=tag)]

    def end(self, one: Droplet) -> None:
        """Destroy a droplet, and a twin that a lost answer may have left; repeating it does no harm."""
        self._destroy(one.id)
        if one.tag:
            self._end_tagged(one.tag)

    def _end_tagged(self, tag: str) -> None:
        """Destroy what carries a mark's tag, and remove the tag."""
        for one in self.tagged(tag):
            self._destroy(one.id)
        self._repeat("tags.delete", lambda: self._client.tags.delete(tag, **self._how), gone={})

    def _destroy(self, droplet_id: int) -> None:
        """Destroy a droplet; one that is gone already is as wished."""
        self._repeat("droplets.destroy", lambda: self._client.droplets.destroy(droplet_id, **self._how), gone={})

    def _pages(self, name: str, operation: Callable[..., Any], key: str, **parameters: object) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            found = self._repeat(
                name,
                lambda: operation(per_page=PAGE, page=page, **self._how, **parameters),  # noqa: B023 - asked before the next turn
                gone={},
            )
            yield from found.get(key, ())
            if "next" not in found.get("links", {}).get("pages", {}):
                return
            page += 1

    @property
    def _client(self) -> Any:
        if self._made is None:
            try:
                from pydo import Client  # noqa: PLC0415 - a quarter of a second that only its users wait for, and an extra of ours
            except ImportError:
                do = "where the controller is: pip install 'maintainer[digitalocean]'"
                raise ConfigurationError((Problem('compute = "digitalocean"', "no pydo here", "DigitalOcean's client", do),)) from None
            # It would repeat a POST by itself, and so make two droplets.
            options: Any = {"retry_total": 0, "connection_timeout": CONNECT_S, "read_timeout": READ_S}
            self._made = Client(token=self._token(), endpoint=self._endpoint, **options)
        return self._made

    def _once(self, ask: Callable[[], Any]) -> dict[str, Any]:
        """Ask once. ApiError for whatever is not what was asked for: for some statuses the client raises, and for some it returns."""
        from azure.core.exceptions import AzureError, HttpResponseError  # noqa: PLC0415 - comes with the client

        try:
            status, said = ask()
        except HttpResponseError as error:
            text = error.response.text() if error.response is not None else ""
            raise ApiError(error.status_code or 0, _sentence(text)) from None
        except (AzureError, ValueError) as error:  # no connection, or an answer that is no JSON
            raise ApiError(0, f"no answer ({type(error).__name__})") from None
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise ApiError(status, str((said or {}).get("message", "")))
        return dict(said or {})

    def _repeat(self, name: str, ask: Callable[[], Any], gone: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask what may be asked again; `gone` is the answer where there is no such thing. Errors are ours."""
        try:
            return self._patient(name, lambda: self._once(ask))
        except ApiError as error:
            if error.status == HTTPStatus.NOT_FOUND and gone is not None:
                return gone
            raise translate(name, error) from None

    def _patient(self, name: str, ask: Callable[[], T]) -> T:
        def may_pass(error: BaseException) -> bool:
            return isinstance(error, ApiError) and error.taken.reason is Reason.BUSY

        return patiently(name, ask, may_pass, clock=self._clock, on_retry=self._on_retry)


def translate(name: str, error: ApiError) -> MaintainerError:
    """Return our error for the API's."""
    if error.taken.reason is Reason.PERMISSION:
        do = "check the token: it must live, and have the scopes that docs/droplets.md names"
        return AccessDeniedError(f"{name}: {error}", guidance=do)
    if error.taken.reason in {Reason.IMAGE, Reason.CONFIGURATION}:
        return _wrong(error.taken.key, str(error), "what this account and region have", "correct the value")
    busy = error.taken.then is Then.WAIT
    do = "is [digitalocean] endpoint right, and up?" if not error.status else UNSEEN
    return NoInstanceError(f"{name}: DigitalOcean: {error}", guidance=do, may_pass=busy)


def name_of(droplet: Droplet) -> str:
    """Return a droplet's name for people and logs."""
    return f"droplet {droplet.id}"


def owner_tag(owner: str) -> str:
    """Return the tag of all that is an owner's: a tag has fewer characters than an owner's name."""
    return f"{OURS}:{hashlib.sha256(owner.encode()).hexdigest()[:16]}"


def tag_of(marks: Marks) -> str:
    """Return the tag that carries the marks: letters, digits, colon, hyphen and underscore, all that the API takes, and no capitals.

    ConfigurationError for a group's name that makes it too long.
    """
    deadline = f"{from_text(marks.deadline).timestamp():.0f}"
    tag = ":".join((owner_tag(marks.owner), *map(_escape, (marks.group, marks.run_id, deadline, marks.controller))))
    if len(tag) > LONGEST_TAG:
        raise ConfigurationError((Problem(f"[group.{marks.group}]", "a name too long for a tag", "a shorter one", "rename it"),))
    return tag


def marks_of(tag: str) -> Marks:
    """Read a tag that carries marks; its deadline is cut to seconds, and its owner stays what the tag says."""
    ours, owner, *rest = tag.split(":")
    group, run_id, deadline, controller = (unquote(one.replace("_", "%")) for one in rest)
    return Marks(f"{ours}:{owner}", run_id, group, to_text(datetime.fromtimestamp(int(deadline), UTC)), controller)


def _escape(text: str) -> str:
    return "".join(chr(one) if chr(one) in "abcdefghijklmnopqrstuvwxyz0123456789-" else f"_{one:02x}" for one in text.encode())


def _droplet(found: dict[str, Any]) -> Droplet:
    tag = next((one for one in found["tags"] or () if one.startswith(f"{OURS}:") and one.count(":") == MARKS_COLONS), "")
    networks = found.get("networks", {}).get("v4", ())
    return Droplet(
        found["id"],
        found["status"],
        found["size_slug"],
        found.get("region", {}).get("slug", ""),
        float(found.get("size", {}).get("price_hourly", 0)),
        from_text(found["created_at"]),
        tag,
        marks_of(tag) if tag else Marks("", "", "", "", ""),
        {one["type"]: one["ip_address"] for one in networks},
    )


def _answer(response: Any, body: Any, headers: object) -> tuple[int, Any]:  # noqa: ARG001 - as the client calls it
    return response.http_response.status_code, body


def _sentence(text: str) -> str:
    """Read what an error's body says; one that is no JSON comes from something before the API."""
    try:
        return str(json.loads(text).get("message", ""))[:300]
    except (ValueError, AttributeError):
        return ""


def _wrong(key: str, found: str, expected: str, do: str) -> ConfigurationError:
    return ConfigurationError((Problem(f"[group.NAME.droplet] {key}".strip(), found, expected, do),))
