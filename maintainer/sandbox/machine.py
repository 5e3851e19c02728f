"""One machine of the sandbox, and the process that holds it up: `python -m maintainer.sandbox.machine DIRECTORY`.

The directory holds specification.json and user-data; the supervisor adds state.json, console.log and the machine's disk. It holds a lock on
DIRECTORY/lock while it lives, and the machine dies with it. SIGTERM is the power button.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from aiohttp import web

from maintainer.edges.clock import SystemClock
from maintainer.edges.procfs import started_at
from maintainer.sandbox import image, namespaces, processes
from maintainer.sandbox.imds import Description, Metadata
from maintainer.sandbox.provision import ROOT

METADATA = ("169.254.169.254", 80)
SSH = 22
POWER_OFF_S = 10
PRESS_S = 0.2
_TAKE_S = 0.02


@dataclass(frozen=True, slots=True)
class Specification:
    """What the hypervisor wants of a machine. `layers` are its image's; `endpoints` are the only addresses that it reaches."""

    instance_id: str
    address: str
    ssh_port: int
    zone: str
    instance_type: str
    image_id: str
    layers: tuple[str, ...]
    lifecycle: str
    role: str
    endpoints: tuple[str, ...]
    region: str

    def encode(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Specification:
        """Read what `encode` wrote."""
        raw = json.loads(text)
        return cls(**{**raw, "layers": tuple(raw["layers"]), "endpoints": tuple(raw["endpoints"])})


@dataclass(frozen=True, slots=True)
class State:
    """What a supervisor tells of its machine; `init_start` tells init from a later process with its id."""

    power: str
    init: int = 0
    init_start: str | None = None


def read_state(directory: Path) -> State | None:
    """Return the last state that was told, if any was."""
    try:
        return State(**json.loads((directory / "state.json").read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def hold_up(directory: Path) -> int:
    """Boot the machine, serve it, and end when it has ended; return 0 when it powered off."""
    processes.hold(directory / "lock")
    return Machine(directory, Specification.decode((directory / "specification.json").read_text(encoding="utf-8"))).run()


class Machine:
    """A machine while its supervisor lives."""

    def __init__(self, directory: Path, specification: Specification) -> None:
        self._directory = directory
        self._wanted = specification
        third, fourth = specification.address.split(".")[2:]
        self._inside = f"10.231.{third}.{fourth}"
        self._mac = "02:" + ":".join(hashlib.sha256(specification.instance_id.encode()).hexdigest()[at : at + 2] for at in range(0, 10, 2))

    def run(self) -> int:
        """Do it all. Returns 0 when the machine powered off, in whichever way."""
        state = self._directory / "disk"
        image.prepare(state)
        uuid = f"ec2{self._wanted.instance_id.removeprefix('i-')[:5]}-0000-4000-8000-000000000000"
        environment, directories = image.surroundings(state, self._wanted.layers, uuid)
        environment |= {"ADDRESS": self._inside, "MAC": self._mac}
        console = os.open(self._directory / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # From the main thread, and before any other: the machine dies with the thread that made it.
        program = ["sh", f"/proc/self/fd/{namespaces.FIRST_DIRECTORY}/enter", "sh", "/usr/sbin/sandbox-net"]
        spawned = namespaces.spawn(program, environment, console, directories)
        self._tell("pending", spawned.init)
        sockets = namespaces.Sockets(spawned.init)
        status = asyncio.run(self._serve(spawned, sockets))
        self._tell("terminated", 0)
        return 0 if status in (0, -signal.SIGKILL) else 1

    async def _serve(self, spawned: namespaces.Spawned, sockets: namespaces.Sockets) -> int:
        loop = asyncio.get_running_loop()
        pressed, ended = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, pressed.set)
        watched = os.pidfd_open(spawned.keeper)
        loop.add_reader(watched, ended.set)
        for endpoint in self._wanted.endpoints:
            there = urlsplit(endpoint)
            host, port = there.hostname or "", there.port or 80
            await asyncio.start_server(partial(_forward, partial(asyncio.open_connection, host, port)), sock=sockets.listening(host, port))
        metadata = Metadata(
            self._description(), (self._directory / "user-data").read_bytes(), self._credentials, self._directory / "notices", SystemClock()
        )
        runner = web.AppRunner(metadata.application(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, sockets.listening(*METADATA)).start()
        gate = asyncio.create_task(self._open_gate(spawned, sockets))
        off = asyncio.create_task(self._power_off(spawned, pressed))
        await ended.wait()
        loop.remove_reader(watched)
        gate.cancel()
        off.cancel()
        return spawned.wait()

    async def _open_gate(self, spawned: namespaces.Spawned, sockets: namespaces.Sockets) -> None:
        """Listen at the machine's address once its sshd does: before that a connection is refused, as EC2 refuses it."""
        while not namespaces.listens(spawned.init, SSH):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_TAKE_S)

        async def dial() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            connection = sockets.unconnected()
            connection.setblocking(False)
            await asyncio.get_running_loop().sock_connect(connection, (self._inside, SSH))
            return await asyncio.open_connection(sock=connection)

        await asyncio.start_server(partial(_forward, dial), self._wanted.address, self._wanted.ssh_port)
        self._tell("running", spawned.init)

    async def _power_off(self, spawned: namespaces.Spawned, pressed: asyncio.Event) -> None:
        await pressed.wait()
        self._tell("shutting-down", spawned.init)
        for _ in range(round(POWER_OFF_S / PRESS_S)):
            with suppress(ProcessLookupError):
                os.kill(spawned.init, signal.SIGUSR2)
            await asyncio.sleep(PRESS_S)  # the first seconds of a boot feel no button
        with suppress(ProcessLookupError):
            os.kill(spawned.keeper, signal.SIGKILL)

    async def _credentials(self) -> str:
        """Return the role's keys, made anew, as the metadata service gives them."""
        sts = boto3.client(
            "sts",
            endpoint_url=self._wanted.endpoints[0],
            region_name=self._wanted.region,
            aws_access_key_id=ROOT,
            aws_secret_access_key=ROOT,
        )
        arn = f"arn:aws:iam::000000000000:role/{self._wanted.role}"
        made = (await asyncio.to_thread(sts.assume_role, RoleArn=arn, RoleSessionName=self._wanted.instance_id))["Credentials"]
        return json.dumps(
            {
                "Code": "Success",
                "Type": "AWS-HMAC",
                "AccessKeyId": made["AccessKeyId"],
                "SecretAccessKey": made["SecretAccessKey"],
                "Token": made["SessionToken"],
                "LastUpdated": SystemClock().now().strftime("%Y-%m-%dT%H:%M:%SZ"),
                "Expiration": made["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        )

    def _description(self) -> Description:
        wanted = self._wanted
        return Description(
            wanted.instance_id, wanted.address, wanted.zone, wanted.instance_type, wanted.image_id, self._mac, wanted.lifecycle, wanted.role
        )

    def _tell(self, power: str, init: int) -> None:
        state = State(power, init, started_at(init) if init else None)
        new = self._directory / "state.new"
        new.write_text(json.dumps(asdict(state)), encoding="ascii")
        new.replace(self._directory / "state.json")


async def _forward(
    dial: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    """Carry a connection's bytes to another and back, until both sides have said all."""
    try:
        far_reader, far_writer = await dial()
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
    for one in (writer, far_writer):
        one.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(256 << 10):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()


if __name__ == "__main__":
    sys.exit(hold_up(Path(sys.argv[1])))
