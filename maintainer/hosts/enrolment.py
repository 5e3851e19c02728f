"""Making a host one of ours: credentials, a repository that two passwords open, files to install, and a place in the configuration.

Every step looks first at what is there, so that an enrolment that was cut off is finished by the same command again.
"""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

from maintainer.core.errors import ConfigurationError, Problem
from maintainer.core.job import Access, Place
from maintainer.edges import secrets
from maintainer.edges.clock import Clock
from maintainer.edges.restic import Outcome, Restic, add_key_argv, failure
from maintainer.hosts.hostfiles import Host, read_environment, render, write

NO_REPOSITORY, WRONG_PASSWORD = 10, 12
"""restic's exit codes (restic's manual, "Exit codes")."""
KNOWN_WITHIN_S = 90.0
"""IAM is eventually consistent, and a gateway looks for new users every twenty seconds."""
AGAIN_S = 1.0
ASKED_WITHIN = timedelta(seconds=20)
"""restic itself would go on for a quarter of an hour where nobody answers, and wait five minutes for who took its request and died."""
DONE_WITHIN = timedelta(minutes=5)


class Way(Protocol):
    """How a host reaches its repository."""

    def is_open(self, known: Mapping[str, str]) -> bool:
        """Tell whether credentials that were written before still let the host in. Changes nothing."""

    def open(self, known: Mapping[str, str]) -> dict[str, str]:
        """Let the host in; return what its environment needs, location and credentials: those that are known already where they hold."""

    @property
    def certificate(self) -> str:
        """Return the certificate that the host must trust, in PEM; empty where it needs none."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Who is enrolled, and into what. `password`: from where maintainer reads the repository's password; `folder`: for the host's files."""

    host: Host
    place: Place
    password: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Tools:
    """What an enrolment works with: `access` may write the password, `tell` is told of each step."""

    restic: Restic
    access: Access
    clock: Clock
    tell: Callable[[str], None]


def enroll(wanted: Enrolment, way: Way, tools: Tools) -> None:
    """Do what is not done yet. ConfigurationError for a repository that neither password opens; SecretError, AccessDeniedError."""
    known = read_environment(wanted.folder / "offsite.env")
    local = read_environment(wanted.folder / "local.env").get("RESTIC_PASSWORD") or _password()
    managed = _keep_password(wanted, tools)
    store = way.open(known)
    hosts = known.get("RESTIC_PASSWORD") or _password()
    # Before the repository is made: a password that opens it is never in one memory alone.
    write(render(wanted.host, {**store, "RESTIC_PASSWORD": hosts}, local, way.certificate), wanted.folder)
    tools.tell(f"{wanted.folder} holds the host's files")
    with TemporaryDirectory() as made:
        certificate = Path(made) / "certificate.pem"
        certificate.write_text(way.certificate, encoding="ascii")
        location = store["RESTIC_REPOSITORY"]
        environment = {**store, **({"RESTIC_CACERT": str(certificate)} if way.certificate else {})}
        _keep_keys(wanted, tools, _Opened(tools, location, environment, Path(made)), hosts, managed)


def foresee(wanted: Enrolment, way: Way, tools: Tools) -> None:
    """Tell what `enroll` would do, and change nothing."""
    known = read_environment(wanted.folder / "offsite.env")
    there = secrets.is_there(wanted.password, tools.access)
    tools.tell(f"{wanted.password} {'stays' if there else 'would get a random password'}")
    tools.tell("its credentials stay" if way.is_open(known) else "it would get credentials")
    tools.tell(f"{wanted.folder} would hold its files")
    tools.tell(f"{wanted.place} would be made a repository with two keys, where it is none yet: the host's own, and maintainer's")


@dataclass(frozen=True, slots=True)
class _Opened:
    """The off-site repository, asked as the host asks: that its credentials serve is shown by that."""

    tools: Tools
    location: str
    environment: Mapping[str, str]
    scratch: Path

    def ask(self, password: str, *argv: str, within: timedelta = DONE_WITHIN) -> Outcome:
        return self.tools.restic.run(self.location, password, argv, time=within, store=self.environment)

    def do(self, password: str, *argv: str) -> None:
        outcome = self.ask(password, *argv)
        if outcome.status:
            raise failure(argv[0], outcome)

    def add_key(self, password: str, new: str) -> None:
        file = self.scratch / "new"
        file.touch(mode=0o600)
        file.write_text(new, encoding="utf-8")
        self.do(password, *add_key_argv(str(file)))
        file.unlink()

    def status(self, password: str) -> int:
        """Return how restic opens it: 0, NO_REPOSITORY or WRONG_PASSWORD, once the credentials are known everywhere."""
        until = self.tools.clock.monotonic() + KNOWN_WITHIN_S
        while (outcome := self.ask(password, "cat", "config", within=ASKED_WITHIN)).status not in (0, NO_REPOSITORY, WRONG_PASSWORD):
            if self.tools.clock.monotonic() > until:
                raise failure("cat config", outcome)
            self.tools.clock.sleep(AGAIN_S)
        return outcome.status


def _keep_keys(wanted: Enrolment, tools: Tools, repository: _Opened, hosts: str, managed: str) -> None:
    """Make sure that there is a repository, and that both passwords open it."""
    status = repository.status(managed)
    if status == NO_REPOSITORY:
        repository.do(hosts, "init")
        tools.tell(f"{wanted.place} is a repository now, with the host's own password")
        status = WRONG_PASSWORD
    if status == WRONG_PASSWORD:
        if repository.status(hosts) != 0:
            do = "enroll the host under another name, or put the password that opens it where maintainer reads it"
            found = f"a repository that neither {wanted.password} nor the host's own password opens"
            raise ConfigurationError((Problem(str(wanted.place), found, "an empty place, or a repository of this host", do),))
        repository.add_key(hosts, managed)
        tools.tell(f"{wanted.password} opens it, too; maintainer does not know the host's password")
    elif repository.status(hosts) != 0:
        repository.add_key(managed, hosts)
        tools.tell(
            "the host has a new password: the next run names its key, and its old one opens the repository still (maintainer key retire)"
        )
    else:
        tools.tell(f"{wanted.place} is a repository that both passwords open")


def _keep_password(wanted: Enrolment, tools: Tools) -> str:
    """Return the password that maintainer opens the repository with; make one where there is none."""
    if not secrets.is_there(wanted.password, tools.access):
        secrets.write(wanted.password, _password(), tools.access)
        tools.tell(f"{wanted.password} holds a random password, for this repository alone")
    return secrets.read(wanted.password, tools.access)


def _password() -> str:
    return randomness.token_urlsafe(32)
