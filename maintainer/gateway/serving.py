"""Keeps rclone serving: users and certificate are read again and again from their sources, and a server that ends is started anew."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from maintainer.core.errors import MaintainerError
from maintainer.core.gateway import GatewayJob, password_file
from maintainer.edges import rclone, secrets
from maintainer.edges.bell import Bell
from maintainer.edges.clock import Clock
from maintainer.edges.log import diagnostics

ANEW_S = 1.0
"""How often rclone is looked after."""
GENTLY_S = 10.0
KEY = "PRIVATE KEY"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The private key and its certificates, in PEM, and the password file."""

    key: str
    certificates: str
    users: str


def read(job: GatewayJob) -> Secrets:
    """Read what the job names. SecretError says what is wrong with a source."""
    lines, left_out = password_file(secrets.read_below(job.users, job.access))
    if left_out:
        diagnostics().warning("users that are none, or without a bcrypt hash, may not come", users=list(left_out))
    keys: list[str] = []
    certificates: list[str] = []
    for block in secrets.read(job.tls, job.access).split("-----BEGIN ")[1:]:
        (keys if KEY in block.partition("\n")[0] else certificates).append(f"-----BEGIN {block.strip()}\n")
    return Secrets("".join(keys), "".join(certificates), lines)


class Gateway:
    """One gateway: a folder of its own for what rclone reads, and rclone."""

    def __init__(self, job: GatewayJob, folder: Path, clock: Clock) -> None:
        """`folder` must be this user's alone: the private key lies in it."""
        self._job = job
        self._folder = folder
        self._clock = clock
        self._stopped = Bell()
        self._server: subprocess.Popen[bytes] | None = None
        self._has: Secrets | None = None
        self._binary = rclone.find()

    def stop(self) -> None:
        """Make `serve` return; may be called by a signal."""
        self._stopped.ring()

    def serve(self) -> None:
        """Serve until stopped. What can not be read is told, and stays as it was; without any there is no server yet."""
        due = 0.0
        try:
            while not self._stopped.is_rung:
                now = self._clock.monotonic()
                if now >= due or self._has is None:
                    due = now + self._job.look_every_s
                    self._take(self._read())
                self._keep_up()
                self._stopped.wait(ANEW_S)
        finally:
            self._end()

    def _read(self) -> Secrets | None:
        try:
            return read(self._job)
        except MaintainerError as error:
            diagnostics().warning("users and certificate stay as they are", reason=str(error))
            return None

    def _take(self, new: Secrets | None) -> None:
        """Give rclone what has changed; it reads its password file again by itself."""
        if new is None:
            return
        if (self._has is None or (self._has.key, self._has.certificates) != (new.key, new.certificates)) and not self._is_pair(new):
            told = "no private key with the certificate that belongs to it: what there was before goes on"
            diagnostics().error(told, source=self._job.tls)
            if self._has is None:
                return
            new = replace(new, key=self._has.key, certificates=self._has.certificates)
        before, self._has = self._has, new
        if before is None or before.users != new.users:
            self._put("users", new.users)
        if before is None or (before.key, before.certificates) != (new.key, new.certificates):
            self._put("key.pem", new.key)
            self._put("certificates.pem", new.certificates)
            self._end()

    def _is_pair(self, offered: Secrets) -> bool:
        """Tell whether rclone could serve with this key and these certificates: it would not start again with others."""
        path = self._put("offered.pem", offered.key + offered.certificates)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: b"")
        except (ssl.SSLError, OSError, ValueError):
            return False
        finally:
            path.unlink()
        return True

    def _keep_up(self) -> None:
        """Start rclone, if it does not run and there is what it needs."""
        if self._server is not None and (status := self._server.poll()) is not None:
            diagnostics().error("rclone ended", status=status)
            self._server = None
        if self._server is None and self._has is not None:
            self._start()

    def _start(self) -> None:
        job, folder = self._job, self._folder
        files = rclone.Files(folder / "users", folder / "certificates.pem", folder / "key.pem")
        dies_with_us = ("setpriv", "--pdeathsig", "KILL", "--")
        self._server = subprocess.Popen(  # noqa: S603 - argv is ours
            (*dies_with_us, *rclone.argv(self._binary, job.place, job.port, files)),
            env=dict(rclone.environment(job.place, job.access)),
            stdin=subprocess.DEVNULL,
        )

    def _put(self, name: str, content: str) -> Path:
        new = self._folder / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(content)
        return new.replace(self._folder / name)

    def _end(self) -> None:
        if self._server is None:
            return
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(GENTLY_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._server = None
