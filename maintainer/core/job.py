"""What the controller asks of one agent: a job, as frozen values and as JSON. No secrets: passwords are named, not given."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.retention import Limits

VERSION = 1
GIVEN_CREDENTIALS = "/etc/maintainer/credentials"
"""The credentials file of a machine that has no role: user data writes it, and it leads to the keys that the controller gives over SSH."""


@dataclass(frozen=True, slots=True)
class Place:
    """A prefix in a bucket, without slashes around it; `endpoint` is a URL, empty where the access names one."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""

    def below(self, name: str) -> Place:
        """Return a place inside this one."""
        return Place(self.bucket, f"{self.prefix}/{name}".lstrip("/"), self.endpoint)

    def contains(self, other: Place) -> bool:
        """Tell whether the other place is this one or lies inside it. On AWS a bucket is the same by every endpoint."""
        mine, others = ("aws" if "amazonaws.com" in place.endpoint else place.endpoint for place in (self, other))
        return (mine, self.bucket) == (others, other.bucket) and f"{other.prefix}/".startswith(f"{self.prefix}/" if self.prefix else "")

    def __str__(self) -> str:
        """Write it as `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True, slots=True)
class Keep:
    """restic's keep rules. A count of -1 means all, 0 no such rule; `within` is a restic duration such as `1y6m`."""

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
class Expected:
    """A host, the paths that it backs up, and how often, in seconds (0 where its history says it)."""

    host: str
    paths: tuple[str, ...]
    every_s: float = 0


FOR_EVER = "for ever"


@dataclass(frozen=True, slots=True)
class RepositoryJob:
    """One repository. `password` names a source; `probation_s` and `grace_s` are seconds; `expect` is empty where a person confirms.

    `at_least` counting snapshots of a host and paths always stay, one run forgets no more than `share` of them, and none while the newest
    plausible one is older than `stale_s` seconds. `answer_s` is how long a person has to answer a report.
    `host_profile` names the host's own credentials, where they are known here: then its reach is checked.
    `kms_key` is the ARN of the KMS key under which the bucket encrypts, if it does.
    `key` begins the id of the key file that opens the repository; empty where it is looked for.
    `keep_until` is an ISO 8601 date or FOR_EVER where its host is retired, and empty where it is not.
    `read_data`: a check reads "always" all packs, or only the "new" ones, and all again every `reread_s` seconds.
    """

    name: str
    place: Place
    password: str
    keep: Keep = field(default_factory=Keep)
    expect: tuple[Expected, ...] = ()
    probation_s: float = 14 * 86_400
    grace_s: float = 7 * 86_400
    at_least: int = 3
    share: float = 0.5
    stale_s: float = 7 * 86_400
    answer_s: float = 30 * 86_400
    host_profile: str = ""
    kms_key: str = ""
    keep_until: str = ""
    read_data: str = "always"
    reread_s: float = 30 * 86_400
    key: str = ""

    @property
    def limits(self) -> Limits:
        """Return the guard's margins."""
        stale = timedelta(seconds=self.stale_s)
        return Limits(probation=self.probation, at_least=self.at_least, share=self.share, stale=stale)

    @property
    def probation(self) -> timedelta:
        """Return how long a snapshot must have been seen before it counts."""
        return timedelta(seconds=self.probation_s)

    @property
    def answer(self) -> timedelta:
        """Return how long a report may wait for an answer before what it spoke of may expire."""
        return timedelta(seconds=self.answer_s)

    @property
    def reread(self) -> timedelta:
        """Return how long what was read need not be read again, where only what is new is read."""
        return timedelta(seconds=self.reread_s)

    @property
    def is_retired(self) -> bool:
        """Tell whether no backup is expected any more."""
        return bool(self.keep_until)

    def is_kept_long_enough(self, now: datetime) -> bool:
        """Tell whether the last day is over on which its repository was to be kept."""
        return self.keep_until not in {"", FOR_EVER} and date.fromisoformat(self.keep_until) < now.date()

    @property
    def grace(self) -> timedelta:
        """Return how long a doomed pack stays."""
        return timedelta(seconds=self.grace_s)


@dataclass(frozen=True, slots=True)
class Access:
    """How S3 is reached, and where the sandbox's clock lies if there is one."""

    endpoint: str = ""
    region: str = ""
    profile: str = ""
    credentials_file: str = ""
    clock: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """All that an agent needs to know. With `plan_only` it changes nothing.

    `restic` names the binary; `memory` (bytes) and `time_s` bound each of its commands. `image_digest`: the image must know one of its
    words for its own; empty on a machine that was not made from one. `metadata` is the URL of its metadata service, if it has one.
    """

    run_id: str
    access: Access
    state: Place
    repositories: tuple[RepositoryJob, ...]
    restic: str = "restic"
    memory: int = 4 << 30
    time_s: float = 12 * 3600
    plan_only: bool = False
    image_digest: str = ""
    metadata: str = ""

    def elsewhere(self, access: Access, restic: str = "restic") -> Job:
        """Return the job as it holds on another machine, whose own credentials and restic serve."""
        # The hosts' own credentials are known to the controller alone: what needs them is checked from there.
        repositories = tuple(replace(one, host_profile="") for one in self.repositories)
        return replace(self, access=access, restic=restic, repositories=repositories)

    def encode(self) -> str:
        """Write the job as one line of JSON."""
        return json.dumps({"v": VERSION, **asdict(self)}, separators=(",", ":"))


def decode(text: str) -> Job:
    """Read a job back; ConfigurationError when agent and controller are of different releases."""
    try:
        raw: dict[str, Any] = json.loads(text)
        if raw.pop("v") != VERSION:
            raise ValueError("version")
        return Job(
            **{
                **raw,
                "access": Access(**raw["access"]),
                "state": Place(**raw["state"]),
                "repositories": tuple(_repository(one) for one in raw["repositories"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        problem = Problem(
            "job", f"unreadable ({error})", f"a job of version {VERSION}", "install the same release for agent and controller"
        )
        raise ConfigurationError((problem,)) from error


def _repository(raw: dict[str, Any]) -> RepositoryJob:
    return RepositoryJob(
        **{
            **raw,
            "place": Place(**raw["place"]),
            "keep": Keep(**{**raw["keep"], "tags": tuple(raw["keep"]["tags"])}),
            "expect": tuple(Expected(**{**one, "paths": tuple(one["paths"])}) for one in raw["expect"]),
        }
    )
