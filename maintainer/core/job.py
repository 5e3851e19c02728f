"""What the controller asks of one instance: a job, as frozen values and as the JSON that user data carries. No secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from maintainer.core.errors import ConfigurationError, Problem

VERSION = 1

Mode = Literal["run", "plan"]


@dataclass(frozen=True, slots=True)
class Keep:
    """restic's keep rules. A count of -1 means all, 0 means no such rule; `within` are restic durations such as `1y6m`."""

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: str = ""
    tags: tuple[str, ...] = ()

    def is_empty(self) -> bool:
        """Tell whether no rule is set: then nothing is ever forgotten."""
        return self == Keep()


@dataclass(frozen=True, slots=True)
class Limits:
    """The margins of the retention guard. Each bounds what one run may forget."""

    future_s: int = 86_400
    """A snapshot whose claimed time lies further ahead of its object's than this is from the future."""
    max_share: float = 0.5
    """At most this share of a group's snapshots may go in one run (a policy's first application may need more: raise it)."""
    min_remaining: int = 1
    """Never fewer than this many endorsed snapshots are left in a group."""


@dataclass(frozen=True, slots=True)
class RepositoryJob:
    """One repository: `url` as restic takes it (`s3:…`), `bucket` and `prefix` (without slashes around) as S3 does."""

    name: str
    url: str
    bucket: str
    prefix: str
    password: str
    keep: Keep = Keep()
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Job:
    """All that an instance needs to know.

    `deadline` is RFC 3339 UTC: the instance is gone by then, so leases last until then at most.
    `ended_instances` are lease holders of which the controller has seen that they no longer run.
    """

    run_id: str
    mode: Mode
    group: str
    region: str
    endpoint_url: str | None
    state_bucket: str
    state_prefix: str
    deadline: str
    controller_time: str
    ended_instances: tuple[str, ...]
    repositories: tuple[RepositoryJob, ...]

    def encode(self) -> str:
        """Write the job as JSON."""
        return json.dumps({"v": VERSION, **asdict(self)}, separators=(",", ":"))


def decode(text: str) -> Job:
    """Read a job back; ConfigurationError when image and controller are of different releases."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("v") != VERSION:
            raise ValueError("version")
        repositories = tuple(_repository(entry) for entry in raw.pop("repositories"))
        return Job(**{**raw, "ended_instances": tuple(raw["ended_instances"])}, repositories=repositories)
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(
            "job", f"unreadable ({error})", f"a job of version {VERSION}", "build the image again with the controller's release"
        )
        raise ConfigurationError((problem,)) from error


def _repository(raw: dict[str, Any]) -> RepositoryJob:
    keep = Keep(**{**raw["keep"], "tags": tuple(raw["keep"]["tags"])})
    return RepositoryJob(**{**raw, "keep": keep, "limits": Limits(**raw["limits"])})
