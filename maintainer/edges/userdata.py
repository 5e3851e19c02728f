"""User data: the cloud-config of one run, of a gateway or of an image's builder, rendered from cloudinit/ and compressed."""

from __future__ import annotations

import gzip
from dataclasses import replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2

from maintainer.core import job as jobs
from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.gateway import GatewayJob
from maintainer.core.job import GIVEN_CREDENTIALS, Access, Job
from maintainer.edges.clock import read_offset
from maintainer.edges.ssh import USER, KeyPair

LIMIT = 16 * 1024
"""Bytes of user data that EC2 takes, before base64 (EC2 user guide, "Run commands at launch with user data")."""

TEMPLATE = "user-data.yaml.j2"
GATEWAY = "gateway.yaml.j2"
BUILDER = "builder.yaml.j2"
FORCED = 'restrict,command="/opt/maintainer/bin/maintainer-agent remote"'
"""What the run's key may do: nothing but talk to the agent's keeper."""
CLOCK = "/etc/maintainer/clock"
KEYS = "/run/maintainer/keys.json"
"""Where `maintainer-agent remote` puts the keys that it is given."""


def render(job: str, *, host_key: KeyPair, login_key: str, deadline_s: int) -> bytes:
    """Return the compressed user data for a job as the controller has it; the same input gives the same bytes.

    `login_key` is the public half of the key that may follow; `deadline_s` counts from the boot.
    ConfigurationError when EC2 would refuse the size.
    """
    packed = gzip.compress(cloud_config(job, host_key=host_key, login_key=login_key, deadline_s=deadline_s).encode(), mtime=0)
    if len(packed) > LIMIT:
        problem = Problem(
            "[[repository]]",
            f"a group whose job takes {len(packed)} bytes of user data",
            f"at most {LIMIT} bytes",
            "split the group into two, each with an instance profile of its own",
        )
        raise ConfigurationError((problem,))
    return packed


def cloud_config(job: str, *, host_key: KeyPair, login_key: str, deadline_s: int, has_role: bool = True) -> str:
    """Return the user data as text. A machine that `has_role` not waits for the keys of the store, which come over SSH."""
    there, clock = _as_there(jobs.decode(job))
    if not has_role:
        there = replace(there, access=replace(there.access, credentials_file=GIVEN_CREDENTIALS))
    return _fill(
        TEMPLATE,
        job=there.encode() + "\n",
        host_key=host_key,
        authorized_key=f"{FORCED} {login_key}\n",
        deadline_s=deadline_s,
        user=USER,
        clock=clock,
        clock_file=CLOCK,
        credentials="" if has_role else f"[default]\ncredential_process = /bin/cat {KEYS}\n",
        credentials_file=GIVEN_CREDENTIALS,
    )


def render_gateway(job: GatewayJob) -> bytes:
    """Return the compressed user data for a gateway; the same job gives the same bytes."""
    access, clock = _access_there(job.access)
    text = _fill(GATEWAY, job=replace(job, access=access).encode() + "\n", user=USER, clock=clock, clock_file=CLOCK)
    return gzip.compress(text.encode(), mtime=0)


def render_builder(*, host_key: KeyPair, login_key: str, deadline_s: int) -> bytes:
    """Return the compressed user data for an instance on which an image is made; the same input gives the same bytes."""
    text = _fill(BUILDER, host_key=host_key, login_key=login_key, deadline_s=deadline_s)
    return gzip.compress(text.encode(), mtime=0)


def _fill(template: str, **values: object) -> str:
    # Not HTML: every value goes through `tojson`, which escapes it for YAML.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - YAML
    return environment.from_string(_template(template).read_text(encoding="utf-8")).render(**values)


def _access_there(here: Access) -> tuple[Access, str | None]:
    """Return how S3 is reached on an instance, where its role serves, and what its clock file holds."""
    clock = f"+{read_offset(Path(here.clock)):.0f}" if here.clock else None
    return Access(endpoint=here.endpoint, region=here.region, clock=CLOCK if here.clock else ""), clock


def _as_there(job: Job) -> tuple[Job, str | None]:
    """Return the job as it holds on the instance, where the image's restic serves, and what its clock file holds."""
    access, clock = _access_there(job.access)
    return job.elsewhere(access), clock


def _template(name: str) -> Traversable:
    """Find the template: in the installed package, or beside it in a checkout."""
    packaged = resources.files("maintainer") / "cloudinit" / name
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "cloudinit" / name
