"""User data: the cloud-config of one run, rendered from cloudinit/ and compressed."""

from __future__ import annotations

import gzip
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import jinja2

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.job import Job
from maintainer.edges.ssh import USER, KeyPair

LIMIT = 16 * 1024
"""Bytes of user data that EC2 takes, before base64 (EC2 user guide, "Run commands at launch with user data")."""

TEMPLATE = "user-data.yaml.j2"
FORCED = 'restrict,command="/opt/maintainer/bin/maintainer-agent remote"'
"""What the run's key may do: nothing but talk to the agent's remote end."""


def render(job: Job, *, host_key: KeyPair, login_key: str, deadline_s: int) -> bytes:
    """Return the gzip'd user data; the same input gives the same bytes.

    `login_key` is the public half of the key that may follow; `deadline_s` counts from the boot.
    ConfigurationError when EC2 would refuse the size.
    """
    text = cloud_config(job, host_key=host_key, login_key=login_key, deadline_s=deadline_s)
    packed = gzip.compress(text.encode(), mtime=0)
    if len(packed) > LIMIT:
        problem = Problem(
            f"groups.{job.group}",
            f"{len(job.repositories)} repositories, whose job takes {len(packed)} bytes of user data",
            f"at most {LIMIT} bytes",
            "split the group into two, each with an instance profile of its own",
        )
        raise ConfigurationError((problem,))
    return packed


def cloud_config(job: Job, *, host_key: KeyPair, login_key: str, deadline_s: int) -> str:
    """Return the user data as text."""
    # Not HTML: every value goes through `tojson`, which escapes it for YAML.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - YAML
    return environment.from_string(_template().read_text(encoding="utf-8")).render(
        job=job.encode(),
        host_key=host_key,
        authorized_key=f"{FORCED} {login_key}\n",
        deadline_s=deadline_s,
        user=USER,
    )


def _template() -> Traversable:
    """Find the template: in the installed package, or beside it in a checkout."""
    packaged = resources.files("maintainer") / "cloudinit" / TEMPLATE
    return packaged if packaged.is_file() else Path(__file__).parents[2] / "cloudinit" / TEMPLATE
