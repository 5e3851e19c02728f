"""The script that a host backs up with, as `enroll` writes it, with a restic before the real one that the test decides on."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

from maintainer.hosts.hostfiles import Host, render, write
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


def backs_up(repository: Repository, folder: Path, restic: str) -> subprocess.CompletedProcess[str]:
    """Run `restic-backup offsite` of the repository's host. `restic`: what stands for restic, a script of sh, in which $RESTIC is the real one."""
    etc, programs = folder / "etc", folder / "bin"
    host = Host(repository.host, (str(repository.source),), timedelta(days=1), "/var/backups/restic")
    files = render(host, {"RESTIC_REPOSITORY": repository.location}, "", "")
    # What is backed up lies below /tmp here, which a host leaves out.
    write({**files, "excludes": "", "restic-backup": files["restic-backup"].replace("/etc/restic", str(etc))}, etc)
    programs.mkdir(exist_ok=True)
    (programs / "restic").write_text(f"#!/bin/sh\n{restic}\n")
    (programs / "restic").chmod(0o700)
    environment = repository.environment()
    own = {"PATH": f"{programs}:{environment['PATH']}", "RESTIC": repository.binary, "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [etc / "restic-backup", "offsite"], env={**environment, **own}, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
