"""The files that make a host back up: rendered from files/, and read back where they were written before."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources
from pathlib import Path

import jinja2

SECRET = ("offsite.env", "local.env")
"""Files that their owner alone may read."""
PROGRAMS = ("restic-backup", "install.sh")
LOCAL_KEEP = "--keep-daily 7 --keep-weekly 4"
_CALENDARS = {
    timedelta(hours=1): ("hourly", "17 * * * *", "every hour"),
    timedelta(hours=6): ("*-*-* 00/6:17:00", "17 */6 * * *", "every six hours"),
    timedelta(hours=12): ("*-*-* 00/12:17:00", "17 */12 * * *", "twice a day"),
    timedelta(days=1): ("*-*-* 01:17:00", "17 1 * * *", "every day"),
    timedelta(days=7): ("Mon *-*-* 01:17:00", "17 1 * * 1", "every week"),
}
"""How often, for systemd, for cron and for people."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host: what it backs up, how often, and where its own local repository lies."""

    name: str
    paths: tuple[str, ...]
    every: timedelta
    local_repository: str

    @staticmethod
    def schedules() -> tuple[timedelta, ...]:
        """Return how often a host may back up."""
        return tuple(_CALENDARS)


def render(host: Host, offsite: Mapping[str, str], local_password: str, certificate: str) -> dict[str, str]:
    """Return the files by name. `offsite` is the environment of the off-site repository; `certificate` is the gateway's, if it has one."""
    calendar, cron, words = _CALENDARS[host.every]
    values = {
        "host": host.name,
        "local_repository": host.local_repository,
        "local_keep": LOCAL_KEEP,
        "calendar": calendar,
        "cron": cron,
        "every_words": words,
        "delay_s": min(1800, int(host.every.total_seconds()) // 8),
    }
    # Shell and unit files: what is filled in are names that were checked, and numbers.
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    folder = resources.files("maintainer.hosts") / "files"
    made = {
        name: environment.from_string((folder / f"{name}.j2").read_text(encoding="utf-8")).render(values)
        for name in ("restic-backup", "restic-backup@.service", "restic-backup@.timer", "cron", "install.sh", "excludes")
    }
    return {
        **made,
        "offsite.env": _environment(offsite),
        "local.env": _environment({"RESTIC_REPOSITORY": host.local_repository, "RESTIC_PASSWORD": local_password}),
        "paths": "".join(f"{path}\n" for path in host.paths),
        **({"gateway.pem": certificate} if certificate else {}),
    }


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write the files into a folder that only its owner may enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.chmod(0o600 if name in SECRET else 0o755 if name in PROGRAMS else 0o644)
        path.write_text(text, encoding="utf-8")


def read_environment(path: Path) -> dict[str, str]:
    """Read back what `render` wrote as an environment; empty where it is not there."""
    if not path.exists():
        return {}
    pairs = [line.partition("=") for line in path.read_text(encoding="utf-8").splitlines() if "=" in line]
    return {name: "".join(shlex.split(value)) for name, _, value in pairs}


def _environment(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())
