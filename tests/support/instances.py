"""A sandbox with machines and one repository in its configuration, and the command as a user calls it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from maintainer.core.events import Event, decode
from maintainer.edges.clock import SystemClock, write_offset
from maintainer.sandbox import daemon, processes
from maintainer.sandbox.machine import State, read_state
from maintainer.sandbox.plant import Plant
from maintainer.sandbox.provision import keep_password
from tests.support.commands import command
from tests.support.patience import until
from tests.support.processes import runs_restic, stop
from tests.support.repositories import Repository

MACHINES = daemon.Wanted()
COMMAND = Path(sys.executable).with_name("maintainer")


@cache
def _client(plant: Plant) -> Any:
    """Return one client of an EC2: a new one costs more than a request."""
    return plant.client("ec2")


@dataclass(frozen=True)
class HeldAgent:
    """An agent on a machine, both by their ids outside."""

    init: int
    pid: int

    def wait_for_wish(self, wish: str) -> None:
        """Wait until a controller has left the wish on the machine."""
        until(Path(f"/proc/{self.init}/root/run/maintainer/{wish}").exists)

    def let_go(self) -> None:
        os.kill(self.pid, signal.SIGCONT)


def agents_of(init: int) -> list[int]:
    """Return the ids of the agents in the namespace of a machine."""
    return processes_of(init, b"maintainer.agent.main")


def processes_of(init: int, word: bytes) -> list[int]:
    """Return the ids of the processes in the namespace of a machine whose command line has a word."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if word in (process / "cmdline").read_bytes() and (process / "ns/pid").samefile(f"/proc/{init}/ns/pid"):
                found.append(int(process.name))
    return found


@dataclass
class Fleet:
    """The sandbox, its EC2, and what runs in it. `earlier` are the instances that others launched there before.

    `standing` are machines that no run launched, and none ends.
    """

    sandbox: daemon.Sandbox
    plant: Plant
    root: Path
    prefix: str = ""
    earlier: frozenset[str] = frozenset()
    standing: frozenset[str] = frozenset()

    def anew(self, name: str) -> Fleet:
        """Return the same sandbox at the real time, with an empty configuration, and state, repositories and instances of its own.

        Who signs by the store's time, as rclone does, is refused where an earlier test has moved it: the real one judges.
        """
        write_offset(self.directory / "clock", 0)
        prefix = f"{re.sub('[^a-z0-9]+', '-', name.lower())[:40]}-{secrets.token_hex(4)}/"
        root = self.root / prefix
        root.mkdir()
        state = f"s3:{self.sandbox.endpoint}/{self.sandbox.state_bucket}/"
        text = Path(self.sandbox.config).read_text()
        assert state in text, text
        config = root / "maintainer.toml"
        config.write_text(text.replace(state, state + prefix).replace('"credentials"', f'"{self.directory}/credentials"'))
        earlier = frozenset(one["InstanceId"] for one in self.instances(living=False))
        return Fleet(replace(self.sandbox, config=str(config)), self.plant, root, prefix, earlier)

    @property
    def directory(self) -> Path:
        return Path(self.sandbox.directory)

    def repository(self, name: str = "web", group: str = "sandbox", more: str = "", *, fast: bool = True) -> Repository:
        """Make a repository with one good snapshot, and add it to the configuration. One that is not `fast` keeps a run busy for seconds."""
        made = Repository(self.sandbox, self.prefix + name, self.root / name)
        made.root.mkdir()
        made.init(fast=fast)
        made.write("file", 150_000, len(name))
        made.backup()
        source = keep_password(self.sandbox.endpoint, name, made.password)
        with Path(self.sandbox.config).open("a") as config:
            config.write(f'[[repository]]\nname = "{name}"\ngroup = "{group}"\nlocation = "{made.location}"\npassword = "{source}"\n{more}')
            config.write(f'[repository.expect]\nhost = "{made.host}"\npaths = ["{made.source}"]\n')
        return made

    def configure(self, found: str, wanted: str) -> None:
        """Change a piece of the configuration."""
        path = Path(self.sandbox.config)
        text = path.read_text()
        assert found in text, text
        path.write_text(text.replace(found, wanted))

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "MAINTAINER_CONFIG": self.sandbox.config}
        return subprocess.Popen([COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def call(self, *words: str) -> tuple[int, str, str]:
        return command(self.sandbox.config, *words)

    def run(self, *words: str) -> tuple[int, list[Event]]:
        code, output, errors = self.call("run", "--once", "--json", *words)
        assert not errors, errors
        return code, [decode(line) for line in output.splitlines()]

    def instances(self, *, living: bool = True) -> list[dict[str, Any]]:
        states = ["pending", "running", "stopping", "stopped", *(() if living else ("shutting-down", "terminated"))]
        filters = [{"Name": "instance-state-name", "Values": states}]
        pages = _client(self.plant).get_paginator("describe_instances").paginate(Filters=filters)
        found = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
        return [one for one in found if one["InstanceId"] not in self.earlier | self.standing]

    @property
    def owner(self) -> str:
        """Return whose instances its configuration's are: others of the same sandbox have their own."""
        return f"s3://{self.sandbox.state_bucket}/{self.prefix}sandbox"

    def templates(self) -> list[str]:
        """Return its launch templates: none but while an instance is launched."""
        filters = [{"Name": "tag:maintainer:owner", "Values": [self.owner]}]
        return [one["LaunchTemplateId"] for one in _client(self.plant).describe_launch_templates(Filters=filters)["LaunchTemplates"]]

    def machines(self) -> list[str]:
        """Return the machines whose supervisors live."""
        homes = (home for home in (self.directory / "machines").glob("i-*") if home.name not in self.standing)
        return [home.name for home in homes if processes.is_held(home / "lock")]

    def state_of(self, machine: str) -> State:
        return read_state(self.directory / "machines" / machine) or State("none")

    def inside(self, machine: str, *argv: str) -> str:
        """Run a program in a machine that may not be there yet, as its root; return what it printed."""
        if not (init := self.state_of(machine).init):
            return ""
        enter = ["nsenter", f"--target={init}", "--user", "--mount", "--pid", "--setuid=0", "--setgid=0"]
        return subprocess.run([*enter, *argv], capture_output=True, text=True, check=False).stdout

    def hold_agent(self, word: str) -> HeldAgent:
        """Wait until an agent on the only machine has a restic at work with this word, and stop it: it does nothing until it is let go."""
        found: list[HeldAgent] = []

        def held() -> bool:
            for name in self.machines():
                if (state := self.state_of(name)).init:
                    found.extend(HeldAgent(state.init, pid) for pid in agents_of(state.init) if runs_restic(pid, word))
            return bool(found)

        self._until(held)
        stop(found[0].pid)
        return found[0]

    def notice(self, machine: str, name: str, body: object) -> None:
        """Let the machine's metadata service say something of its end."""
        notices = self.directory / "machines" / machine / "notices"
        notices.mkdir()
        (notices / "new").write_text(json.dumps(body))
        (notices / "new").rename(notices / name)

    def nothing_is_left(self) -> None:
        """Wait until neither EC2 nor the hypervisor has a machine."""
        self._until(lambda: not self.machines() and not self.instances())

    def _until(self, true: Callable[[], bool]) -> None:
        """Wait, and show what everything here wrote where that is in vain."""
        try:
            until(true)
        except AssertionError:
            _show(self.directory)
            raise


@contextmanager
def fleet(wanted: daemon.Wanted = MACHINES) -> Iterator[Fleet]:
    """Start a sandbox with machines; all of it is gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="maintainer-"))
    try:
        sandbox = daemon.start(root / "sandbox", SystemClock(), wanted)
        yield Fleet(sandbox, Plant.read(root / "sandbox"), root)
    finally:
        if sys.exc_info()[0] is not None:
            _show(root / "sandbox")
        daemon.stop(root / "sandbox", SystemClock())
        shutil.rmtree(root)


def _show(directory: Path) -> None:
    for log in (*directory.glob("*.log"), *directory.glob("machines/*/*.log")):
        print(f"--- {log}\n{log.read_text(errors='replace')[-3000:]}")


def shown(events: list[Event]) -> str:
    return "\n".join(json.dumps({"event": event.event, **event.fields}) for event in events if event.level in ("warning", "error"))
