"""restic's own release for Linux, fetched once and by its digest: Debian 12 has 0.14, and a view needs 0.18."""

from __future__ import annotations

import bz2
import hashlib
import os
import platform
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from maintainer.core.errors import FetchError

RELEASE = "0.18.1"
RELEASES = "https://github.com/restic/restic/releases/download"
DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "x86_64": "680838f19d67151adba227e1570cdd8af12c19cf1735783ed1ba928bc41f363d",
        "aarch64": "87f53fddde38764095e9c058a3b31834052c37e5826d2acf34e18923c006bd45",
    }
)
"""SHA-256 of the compressed binary, by the kernel's name of the architecture: the release's own SHA256SUMS."""
_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_WITHIN_S = 60
_LONGEST = 64 << 20
"""Bytes; the release has 10 MiB."""


def fetch(folder: Path, releases: str = RELEASES, digests: Mapping[str, str] = DIGESTS) -> Path:
    """Put restic into a folder, and return its path. FetchError if there is no such release, no answer, or another digest."""
    machine = platform.machine()
    if machine not in digests:
        raise FetchError(f"no release of restic is pinned for {machine}", guidance="install restic 0.18 or newer: [restic] path = ...")
    address = f"{releases}/v{RELEASE}/restic_{RELEASE}_linux_{_NAMES[machine]}.bz2"
    try:
        with urllib.request.urlopen(address, timeout=_WITHIN_S) as answer:  # noqa: S310 - its digest decides
            body = answer.read(_LONGEST)
    except (OSError, urllib.error.URLError) as error:
        why = getattr(error, "reason", None) or error
        do = "is there a way there? Else install restic 0.18 or newer (Debian 13 has it), and name it: [restic] path = ..."
        raise FetchError(f"{address}: {why}", guidance=do) from error
    found = hashlib.sha256(body).hexdigest()
    if found != digests[machine]:
        do = "nothing was installed; somebody may have put another program there"
        raise FetchError(f"{address}: its SHA-256 is {found}; expected {digests[machine]}", guidance=do)
    target, part = folder / "restic", folder / f".restic.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part.write_bytes(bz2.decompress(body))
        part.chmod(0o755)
        part.replace(target)
    except OSError as error:
        raise FetchError(f"{target} cannot be written: {error.strerror}", guidance="name a folder that can: --to FOLDER") from error
    return target
