"""A machine of the sandbox without its hypervisor, and a way in: what tests of the machine itself need."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from maintainer.sandbox import cgroups, image
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.machine import Specification, read_state
from maintainer.sandbox.provision import ACCOUNT, ROLE
from tests.support.patience import PATIENCE_S


@dataclass
class Booted:
    """A machine that runs; `directory` is what its supervisor keeps."""

    directory: Path
    process: subprocess.Popen[bytes]
    client: paramiko.SSHClient
    port: int

    def sh(self, script: str) -> str:
        """Run a script inside, as the account that the controller uses; return what it printed on both outputs."""
        _, output, errors = self.client.exec_command(script, timeout=PATIENCE_S)
        return output.read().decode() + errors.read().decode()

    def console(self) -> str:
        return (self.directory / "console.log").read_text(errors="replace")

    def init(self) -> int:
        state = read_state(self.directory)
        assert state is not None
        return state.init


@contextmanager
def boot(sandbox: Sandbox, directory: Path, *lines: str, keys: Sequence[str] = (), systemd: bool = True) -> Iterator[Booted]:
    """Boot a machine whose user data logs us in, and whoever holds `keys`, and has these lines too; it is gone at the end."""
    made = image.build(image.cache())
    image.seed(directory / "seed")
    home = directory / "machine"
    home.mkdir()
    key = paramiko.ECDSAKey.generate()
    user = {"name": "maintainer", "ssh_authorized_keys": [f"{key.get_name()} {key.get_base64()}", *keys]}
    (home / "user-data").write_text("\n".join(["#cloud-config", f"users: [{json.dumps(user)}]", *lines]))
    with socket.socket() as probe:
        probe.bind(("127.8.1.4", 0))
        port = probe.getsockname()[1]
    specification = Specification(
        "i-0123456789abcdef0",
        "127.8.1.4",
        port,
        "us-east-1a",
        "m5.large",
        made.image_id,
        str(directory / "seed"),
        made.layers,
        "spot",
        f"arn:aws:iam::{ACCOUNT}:role/{ROLE}",
        (sandbox.endpoint,),
        True,
        systemd,
    )
    (home / "specification.json").write_text(specification.encode())
    process = subprocess.Popen([sys.executable, "-m", "maintainer.sandbox.machine", str(home)])
    try:
        wait(lambda: (state := read_state(home)) is not None and state.power == "running", home)
        with paramiko.SSHClient() as client:
            client.set_missing_host_key_policy(paramiko.AutoAddPolicy())

            def connected() -> bool:
                try:
                    client.connect("127.8.1.4", port, "maintainer", pkey=key, allow_agent=False, look_for_keys=False)
                except (paramiko.SSHException, EOFError):  # an sshd that is just being started again
                    return False
                return True

            wait(connected, home)
            yield Booted(home, process, client, port)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)
        if (told := read_state(home)) is not None and told.group:
            cgroups.remove(Path(told.group))


def wait(until: object, home: Path) -> None:
    """Wait until something is true; fail with the console's last words."""
    assert callable(until)
    deadline = time.monotonic() + PATIENCE_S
    while not until():
        assert time.monotonic() < deadline, (home / "console.log").read_text(errors="replace")[-2000:]
        time.sleep(0.02)
