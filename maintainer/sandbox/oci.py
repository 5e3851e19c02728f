"""The controller's container image, without a container engine: an OCI archive (image-spec 1.1) that skopeo, crane or docker load take."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

from maintainer import __version__
from maintainer.core.errors import SandboxError
from maintainer.sandbox import image

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The kernel's names, and OCI's (GOARCH)."""
PACKAGES = "ca-certificates,python3,python3-venv"
CHUNK = 1 << 20
_TYPES = "application/vnd.oci.image"


def build(target: Path, source: Path | None = None) -> str:
    """Write the archive of this checkout's controller; return the manifest's digest, by which a registry and ECS name it.

    The same checkout and the same Debian give the same bytes. SandboxError where the machine lacks something, or a step fails.
    """
    source = source or image.checkout()
    if shutil.which("mmdebstrap") is None:
        raise SandboxError("mmdebstrap is not installed", guidance="apt-get install mmdebstrap uidmap")
    if not target.parent.is_dir() or target.is_dir():
        raise SandboxError(f"{target} can not be written", guidance="name a file in a directory that is there")
    with image.work_below(target.absolute().parent) as work:
        given = work / "given"
        given.mkdir()
        image.give_base(source / "cloudinit", given, work)
        image.give_agent(source, given, work, {})
        shutil.copy(image.GUEST / "controller", given)
        hook, layer = 'chroot "$1" sh /srv/given/controller /srv/given', work / "layer.tar"
        image.bootstrap(work, given, hook, layer, f"--include={PACKAGES}", env={"SOURCE_DATE_EPOCH": "0"})
        digest = _pack(work, layer)
        (work / "archive").rename(target)
    return digest


def _pack(work: Path, layer: Path) -> str:
    """Write the archive of one layer; return its manifest's digest."""
    packed = work / "layer.tar.gz"
    diff = hashlib.sha256()
    with layer.open("rb") as plain, packed.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as out:
        while chunk := plain.read(CHUNK):
            diff.update(chunk)
            out.write(chunk)
    with packed.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    architecture = ARCHITECTURES[os.uname().machine]
    config = _json(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": "1000",
                "Env": [f"PATH=/opt/maintainer/bin:{image.PATH}"],
                "Entrypoint": ["maintainer"],
                "Cmd": ["run", "--once", "--json"],
                # Declared, or Fargate gives the task a /tmp that is root's alone.
                "Volumes": {"/tmp": {}},  # noqa: S108 - the container's
                "WorkingDir": "/",
                "Labels": {"org.opencontainers.image.title": "maintainer", "org.opencontainers.image.version": __version__},
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff.hexdigest()}"]},
        }
    )
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPES}.manifest.v1+json",
            "config": _described(f"{_TYPES}.config.v1+json", config),
            "layers": [{"mediaType": f"{_TYPES}.layer.v1.tar+gzip", "digest": f"sha256:{digest}", "size": packed.stat().st_size}],
        }
    )
    named = {
        **_described(f"{_TYPES}.manifest.v1+json", manifest),
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {"org.opencontainers.image.ref.name": __version__},
    }
    with tarfile.open(work / "archive", "w") as archive:
        _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(archive, "index.json", _json({"schemaVersion": 2, "mediaType": f"{_TYPES}.index.v1+json", "manifests": [named]}))
        for blob in (config, manifest):
            _add(archive, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        with packed.open("rb") as stream:
            entry = tarfile.TarInfo(f"blobs/sha256/{digest}")
            entry.size = packed.stat().st_size
            archive.addfile(entry, stream)
    return str(named["digest"])


def _described(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _add(archive: tarfile.TarFile, name: str, body: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(body)
    archive.addfile(entry, io.BytesIO(body))
