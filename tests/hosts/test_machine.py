"""An enrolled host as a real machine: what enroll wrote is installed, its timers run, and each of its two repositories does without the other."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.hosts.test_enroll import Office, office
from tests.support.machines import Booted, boot, wait
from tests.support.patience import PATIENCE_S

__all__ = ["office"]
SOON = "[Timer]\nOnCalendar=\nOnCalendar=*-*-* *:*:0/2\nRandomizedDelaySec=0\nAccuracySec=100ms\n"
"""A drop-in: what comes once an hour comes every two seconds."""
OFFSITE, LOCAL = "set -a; . /etc/restic/offsite.env; ", "set -a; . /etc/restic/local.env; "


def as_root(machine: Booted, script: str) -> subprocess.CompletedProcess[str]:
    enter = ["nsenter", f"--target={machine.init()}", "--user", "--mount", "--net", "--pid", "--setuid=0", "--setgid=0"]
    return subprocess.run([*enter, "sh", "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S)


def must(machine: Booted, script: str) -> str:
    ran = as_root(machine, script)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def brought(folder: Path) -> str:
    """Return cloud-init's words that bring a folder to /root/web1, with something to back up, and install it."""
    files = [
        {"path": f"/root/web1/{path.name}", "permissions": f"{path.stat().st_mode & 0o777:04o}", "encoding": "b64",
         "content": base64.b64encode(path.read_bytes()).decode()}
        for path in folder.iterdir()
    ]  # fmt: skip
    files.append({"path": "/srv/data/file", "content": "what is to be kept"})
    files.append({"path": "/etc/systemd/system/restic-backup@.timer.d/soon.conf", "content": SOON})
    return f"write_files: {json.dumps(files)}"


@pytest.mark.matrix
@pytest.mark.parametrize("systemd", [True, False], ids=["systemd", "cron"])
def test_its_timers_run_and_each_repository_does_without_the_other(office: Office, sandbox: Sandbox, tmp_path: Path, systemd: bool) -> None:
    office.call(
        *("enroll", "web1", "--path", "/srv/data", "--every", "1h", "--local", "/var/backups/restic"),
        *("--output", str(office.root), "--profile", "admin"),
    )
    with boot(sandbox, tmp_path, brought(office.root / "web1"), "runcmd: [sh /root/web1/install.sh]", systemd=systemd) as host:
        wait(lambda: "finished at" in host.console(), host.directory)
        is_systemd = as_root(host, "test -d /run/systemd/system").returncode == 0
        if is_systemd:
            # Without looking at locks: those of the timer's backups come and go, and restic would say so among its answer.
            wait(lambda: json.loads(office.restic("snapshots", "--no-lock", "--json")), host.directory)
            wait(lambda: "/srv/data" in as_root(host, f"{LOCAL} restic snapshots").stdout, host.directory)
            must(host, "systemctl stop restic-backup@local.timer restic-backup@offsite.timer")
            must(host, "systemctl stop restic-backup@local restic-backup@offsite")
        else:
            assert must(host, "cat /etc/cron.d/restic-backup").count("root /usr/local/sbin/restic-backup") == 2
        must(host, "restic-backup offsite; restic-backup local")
        assert must(host, "stat -c %a /etc/restic /etc/restic/offsite.env /etc/restic/local.env").split() == ["700", "600", "600"]

        office.call("run", "--once", "--repository", "web1")

        must(host, "rm -r /var/backups/restic")
        must(host, f"{OFFSITE} restic restore latest --target /tmp/back && cmp /srv/data/file /tmp/back/srv/data/file")

        must(host, "restic-backup local")
        office.call("retire", "web1", "--profile", "admin")
        assert as_root(host, "restic-backup offsite").returncode
        must(host, "echo more >> /srv/data/file && restic-backup local")
        must(host, f"{LOCAL} restic restore latest --target /tmp/again && cmp /srv/data/file /tmp/again/srv/data/file")

        central = (office.root / "passwords" / "web1").read_text().strip()
        assert as_root(host, f"{LOCAL} RESTIC_PASSWORD={central} restic cat config").returncode == 12

        # Who has what maintainer knows of this repository, and a key of the whole bucket, opens no other.
        office.enroll(host="db")
        admin = office.sandbox.credentials["admin"]
        key = {"AWS_ACCESS_KEY_ID": admin.access_key_id, "AWS_SECRET_ACCESS_KEY": admin.secret_access_key, "RESTIC_PASSWORD": central}
        for name, code in (("web1", 0), ("db", 12)):
            office.restic("cat", "config", code=code, more={**key, "RESTIC_REPOSITORY": f"{office.place}/{name}"})
