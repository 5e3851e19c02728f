"""A gateway before the sandbox's bucket: its certificate, its users, its own identity, and what a host or an attacker asks of it."""

from __future__ import annotations

import base64
import http.client
import os
import ssl
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import bcrypt

from maintainer.core.gateway import GatewayJob
from maintainer.core.job import Access, Place
from maintainer.edges.certificate import Authority
from maintainer.edges.clock import SystemClock
from maintainer.sandbox import policies
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.processes import free_port
from maintainer.sandbox.provision import root_client
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


@dataclass
class Served:
    """A gateway that runs: `root` is what it serves of the bucket."""

    sandbox: Sandbox
    job: GatewayJob
    certificate: Path
    process: subprocess.Popen[bytes]
    access_key: tuple[str, str]
    host: str = "127.0.0.1"

    def add(self, user: str) -> str:
        """Let a user in; return the password."""
        password = f"word of {user}"
        self.put(user, bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode())
        return password

    def put(self, user: str, digest: str) -> None:
        root_client("ssm", self.sandbox.endpoint).put_parameter(
            Name=f"{self.job.users.removeprefix('ssm:')}/{user}", Value=digest, Type="SecureString", Overwrite=True
        )

    def remove(self, user: str) -> None:
        root_client("ssm", self.sandbox.endpoint).delete_parameter(Name=f"{self.job.users.removeprefix('ssm:')}/{user}")

    def ask(self, method: str, path: str, user: str = "", password: str = "", body: bytes | None = None) -> int:
        """Ask with the path as it is; return the status."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection = http.client.HTTPSConnection(self.host, self.job.port, context=context, timeout=PATIENCE_S)
        connection.putrequest(method, path)
        if user:
            word = password or f"word of {user}"
            connection.putheader("Authorization", "Basic " + base64.b64encode(f"{user}:{word}".encode()).decode())
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        try:
            return connection.getresponse().status
        finally:
            connection.close()

    def until(self, status: int, user: str, password: str = "") -> None:
        """Wait until a user's own folder is answered so."""
        until = monotonic() + PATIENCE_S
        found = 0
        while found != status and monotonic() < until:
            with suppress(OSError):
                found = self.ask("GET", f"/{user or 'nobody'}/config", user, password)
            sleep(0.05)
        assert found == status

    def environment(self, user: str) -> dict[str, str]:
        location = f"rest:https://{self.host}:{self.job.port}/{user}/"
        return {"RESTIC_REPOSITORY": location, "RESTIC_REST_USERNAME": user, "RESTIC_REST_PASSWORD": f"word of {user}"}


class Guest(Repository):
    """A repository whose host has the gateway, and no key of the bucket."""

    way: str
    """What its restic takes with -r: with the user and the password."""
    certificate: Path
    known: dict[str, str]
    """What else its restic needs in the environment."""

    @property
    def location(self) -> str:
        return self.way

    def environment(self, identity: str = "host") -> dict[str, str]:
        found = {name: value for name, value in super().environment(identity).items() if not name.startswith("AWS_")}
        return {**found, **self.known, "RESTIC_CACERT": str(self.certificate)}

    def init(self, *, fast: bool = True) -> None:
        """Make it through the gateway, as its host does: restic's own key, whatever it costs."""
        assert not fast
        self.restic("init")

    def let_in(self, environment: dict[str, str], certificate: Path) -> None:
        """Take what a gateway's administrator gave."""
        self.way, self.certificate = environment["RESTIC_REPOSITORY"], certificate
        self.known = {name: value for name, value in environment.items() if name != "RESTIC_REPOSITORY"}


def certify(folder: Path, address: str = "127.0.0.1") -> tuple[Path, str]:
    """Make an authority; return its certificate's file, and a private key and the certificate that it signed, in PEM."""
    made = Authority.made(address, SystemClock().now())
    file = folder / f"{uuid.uuid4().hex}.pem"
    file.write_text(made.certificate)
    return file, made.sign(address, SystemClock().now(), 9)


def role(sandbox: Sandbox, bucket: str) -> tuple[str, str]:
    """Make an identity with the gateway's rights; return its key."""
    iam, name = root_client("iam", sandbox.endpoint), f"gateway-{uuid.uuid4().hex[:12]}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="gateway", PolicyDocument=policies.gateway(bucket))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]


@contextmanager
def serving(sandbox: Sandbox, folder: Path, place: Place | None = None) -> Iterator[Served]:
    """Run a gateway as a process of this machine, under its own identity: before a folder of the sandbox's bucket, or before `place`."""
    name = uuid.uuid4().hex[:12]
    place = place or Place(sandbox.bucket, f"g-{name}")
    key = role(sandbox, place.bucket)
    shared = folder / "gateway-credentials"
    shared.write_text(f"[gateway]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n")
    certificate, pem = certify(folder)
    parameter = f"/maintainer/gateway/{name}"
    root_client("ssm", sandbox.endpoint).put_parameter(Name=f"{parameter}/tls", Value=pem, Type="SecureString")
    access = Access(sandbox.endpoint, sandbox.region, "gateway", str(shared))
    job = GatewayJob(name, access, place, free_port(), f"ssm:{parameter}/tls", f"ssm:{parameter}/users", 0.3)
    file = folder / "gateway.json"
    file.write_text(job.encode())
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": key[0], "AWS_SECRET_ACCESS_KEY": key[1]}
    process = subprocess.Popen([sys.executable, "-m", "maintainer.gateway.main", str(file)], env=environment)
    served = Served(sandbox, job, certificate, process, key)
    try:
        served.until(401, "")
        yield served
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
