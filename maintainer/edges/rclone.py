"""rclone as a server of restic's REST protocol on S3: its command line and its environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.job import Access, Place
from maintainer.edges.s3 import aws_region

LARGEST_PACK = "256Mi"
"""Up to so much a file is one PutObject: restic's largest pack has half of it, and parts that a cut upload leaves would cost for ever."""


@dataclass(frozen=True, slots=True)
class Files:
    """What rclone reads: an Apache password file, certificates and their private key in PEM."""

    users: Path
    certificates: Path
    key: Path


def argv(binary: str, place: Place, port: int, files: Files) -> tuple[str, ...]:
    """Serve what lies below a place: a user's folder to that user alone, nothing is deleted or replaced but locks, and TLS always.

    Objects are looked up anew each time: what maintenance heals or marks is seen at once.
    """
    return (
        *(binary, "serve", "restic", "--config", os.devnull, "--log-level", "INFO", "--stats", "0"),
        *("--addr", f":{port}", "--min-tls-version", "tls1.2", "--cert", str(files.certificates), "--key", str(files.key)),
        *("--append-only", "--private-repos", "--htpasswd", str(files.users), "--cache-objects=false"),
        *("--s3-no-check-bucket", "--s3-upload-cutoff", LARGEST_PACK),
        f":s3:{place.bucket}/{place.prefix}".rstrip("/"),
    )


def environment(place: Place, access: Access) -> Mapping[str, str]:
    """Return what rclone needs to know of the store; its credentials are the machine's role, or what AWS_* says."""
    endpoint = place.endpoint or access.endpoint
    region = aws_region(endpoint)
    is_aws = region is not None
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"} or name.startswith("AWS_")}
    return {
        **kept,
        "RCLONE_S3_PROVIDER": "AWS" if is_aws else "Other",
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_REGION": region or access.region or "us-east-1",
        "RCLONE_S3_ENDPOINT": "" if is_aws else endpoint,
        "RCLONE_S3_FORCE_PATH_STYLE": "false" if is_aws else "true",
    }


def find(configured: str = "rclone") -> str:
    """Return the rclone to use: ours, or the one on PATH. ConfigurationError where there is none."""
    beside = Path(sys.prefix) / "bin" / configured
    found = str(beside) if beside.exists() else shutil.which(configured)
    if found is None:
        raise ConfigurationError((Problem("rclone", "none here", "rclone on PATH", "pip install 'maintainer[gateway]'"),))
    return found
