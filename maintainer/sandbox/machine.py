"""One machine of the sandbox, and the process that holds it up: `python -m maintainer.sandbox.machine DIRECTORY`.

The directory holds specification.json and user-data; the supervisor adds state.json, console.log and the machine's disk. It holds a lock on
DIRECTORY/lock while it lives, and the machine dies with it. SIGTERM is the power button.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import json
import os
import signal
import socket
import sys
import tty
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from maintainer.edges.clock import SystemClock
from maintainer.edges.procfs import started_at
from maintainer.sandbox import cgroups, image, namespaces, processes
from maintainer.sandbox.imds import Description, Metadata
from maintainer.sandbox.provision import root_client

METADATA = ("169.254.169.254", 80)
PROXY = ("127.0.0.1", 3142)
"""As guest/90-sandbox.apt says."""
SSH = 22
REBOOTED = (10, -signal.SIGHUP)
"""How a PID 1 ends that wants to boot again: our script's own word, and reboot(2) in a PID namespace."""
POWERED_OFF = (0, -signal.SIGINT, -signal.SIGKILL)
POWER_OFF_S = 10
PRESS_S = 0.2
_TAKE_S = 0.02
_LOOK_S = 0.1
ELASTIC = "elastic"
"""The file, in a machine's directory, that holds the elastic address that leads to it."""


@dataclass(frozen=True, slots=True)
class Specification:
    """What the hypervisor wants of a machine. `endpoints` are the only addresses that it reaches, or is never answered by.

    `layers` are its image's; `seed` holds what lies over them, for each PID 1 (`image.seed`), which is systemd only if
    `systemd` says so. `role` is an ARN.
    """

    instance_id: str
    address: str
    ssh_port: int
    zone: str
    instance_type: str
    image_id: str
    seed: str
    layers: tuple[str, ...]
    lifecycle: str
    role: str
    endpoints: tuple[str, ...]
    reaches_endpoints: bool
    systemd: bool
    ports: tuple[tuple[int, tuple[str, ...]], ...] = ()
    """What its security groups let in beside SSH: a port, and the networks that may come."""
    mirror: str = ""
    """Host and port of a mirror of Debian's that it reaches as its apt's proxy; empty where it reaches none."""

    def encode(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> Specification:
        """Read what `encode` wrote."""
        raw = json.loads(text)
        ports = tuple((port, tuple(networks)) for port, networks in raw["ports"])
        return cls(**{**raw, "layers": tuple(raw["layers"]), "endpoints": tuple(raw["endpoints"]), "ports": ports})


@dataclass(frozen=True, slots=True)
class Init:
    """A PID 1: which layer of the seed it needs, and the signal that is its power button."""

    layer: str
    button: int


SYSTEMD = Init("systemd", signal.SIGRTMIN + 4)
SCRIPT = Init("script", signal.SIGUSR2)


@dataclass(frozen=True, slots=True)
class State:
    """What a supervisor tells of its machine; `init_start` tells init from a later process with its id, `group` is its control group."""

    power: str
    init: int = 0
    init_start: str | None = None
    group: str = ""


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
        self._init = SCRIPT
        self._group: Path | None = None
        self._mac = "02:" + ":".join(hashlib.sha256(specification.instance_id.encode()).hexdigest()[at : at + 2] for at in range(0, 10, 2))

    def run(self) -> int:
        """Do it all. Returns 0 when the machine powered off, in whichever way."""
        image.prepare(self._directory / "disk")
        while (status := self._boot()) in REBOOTED:
            pass
        self._tell("terminated", 0)
        return 0 if status in POWERED_OFF else 1

    def _boot(self) -> int:
        """Boot it, and return how its PID 1 ended. systemd is that where it may have a control group, a script of ours elsewhere."""
        name = f"maintainer-{self._wanted.instance_id}-{os.getpid()}"
        self._group = group = cgroups.make(name, namespaces.ids().zero) if self._wanted.systemd else None
        self._init = SCRIPT if group is None else SYSTEMD
        uuid = f"ec2{self._wanted.instance_id.removeprefix('i-')[:5]}-0000-4000-8000-000000000000"
        layers = (f"{self._wanted.seed}/{self._init.layer}", *self._wanted.layers)
        environment, directories = image.surroundings(self._directory / "disk", layers, uuid)
        environment |= {"ADDRESS": self._inside, "MAC": self._mac, "GROUP": "" if group is None else "yes"}
        terminal, output = os.openpty()
        tty.setraw(output)
        os.chown(os.ttyname(output), namespaces.ids().zero, -1)
        try:
            # From the main thread, and before any other: the machine dies with the thread that made it.
            program = ["sh", f"/proc/self/fd/{namespaces.FIRST_DIRECTORY}/enter", "sh", "/usr/sbin/sandbox-net"]
            spawned = namespaces.spawn(program, environment, output, directories, group)
            self._tell("pending", spawned.init)
            sockets = namespaces.Sockets(spawned.init)
            return asyncio.run(self._serve(spawned, sockets, terminal))
        finally:
            for descriptor in (terminal, output):
                os.close(descriptor)
            if group is not None:
                cgroups.remove(group)

    async def _serve(self, spawned: namespaces.Spawned, sockets: namespaces.Sockets, terminal: int) -> int:
        loop = asyncio.get_running_loop()
        pressed, ended = asyncio.Event(), asyncio.Event()
        console = os.open(self._directory / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.set_blocking(terminal, False)

        def show() -> bool:
            with suppress(BlockingIOError):
                return os.write(console, os.read(terminal, 64 << 10)) > 0
            return False

        loop.add_reader(terminal, show)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, pressed.set)
        servers: list[asyncio.Server] = []
        deaf: list[socket.socket] = []
        watched = os.pidfd_open(spawned.keeper)
        loop.add_reader(watched, ended.set)
        for endpoint in self._wanted.endpoints:
            there = urlsplit(endpoint)
            host, port = there.hostname or "", there.port or 80
            if not self._wanted.reaches_endpoints:
                deaf += await sockets.deaf(host, port)
                continue
            dial, inside = partial(asyncio.open_connection, host, port), sockets.listening(host, port)
            servers.append(await asyncio.start_server(partial(_forward, dial), sock=inside))
        if self._wanted.mirror:
            # A mirror takes requests as a proxy does: with the whole URL (RFC 9112, 3.2.2). So no name need be known inside.
            mirror, _, at = self._wanted.mirror.partition(":")
            dial = partial(asyncio.open_connection, mirror, int(at))
            servers.append(await asyncio.start_server(partial(_forward, dial), sock=sockets.listening(*PROXY)))
        metadata = Metadata(
            self._description(), (self._directory / "user-data").read_bytes(), self._credentials, self._directory / "notices", SystemClock()
        )
        runner = web.AppRunner(metadata.application(), access_log=None)
        await runner.setup()
        await web.SockSite(runner, sockets.listening(*METADATA)).start()
        gate = asyncio.create_task(self._open_gate(spawned, sockets, servers))
        opened = [asyncio.create_task(self._open_port(spawned, sockets, port, networks)) for port, networks in self._wanted.ports]
        off = asyncio.create_task(self._power_off(spawned, pressed))
        await ended.wait()
        loop.remove_reader(watched)
        for task in (gate, off, *opened):
            task.cancel()
        for server in servers:
            server.close()
        for one in deaf:
            one.close()
        await runner.cleanup()
        loop.remove_reader(terminal)
        while show():  # its last words
            pass
        os.close(console)
        return spawned.wait()

    async def _open_gate(self, spawned: namespaces.Spawned, sockets: namespaces.Sockets, servers: list[asyncio.Server]) -> None:
        """Listen at the machine's address once its sshd does: before that a connection is refused, as EC2 refuses it."""
        while not namespaces.listens(spawned.init, SSH):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_TAKE_S)

        dial = partial(self._dial, sockets, SSH)
        servers.append(await asyncio.start_server(partial(_forward, dial), self._wanted.address, self._wanted.ssh_port))
        self._tell("running", spawned.init)

    async def _dial(self, sockets: namespaces.Sockets, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        connection = sockets.unconnected()
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (self._inside, port))
        return await asyncio.open_connection(sock=connection)

    async def _open_port(self, spawned: namespaces.Spawned, sockets: namespaces.Sockets, port: int, networks: tuple[str, ...]) -> None:
        """Listen on a port at the machine's own address, and at its elastic one while it has that, as long as something listens inside."""
        allowed = [ipaddress.ip_network(one) for one in networks]
        open_at: dict[str, asyncio.Server] = {}
        connections: dict[str, set[asyncio.StreamWriter]] = {}

        async def carry(address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = ipaddress.ip_address(writer.get_extra_info("peername")[0])
            live = connections.get(address)  # none where the address has moved since the connection was taken
            if live is None or not any(peer in network for network in allowed):
                writer.close()
                return
            live.add(writer)
            try:
                await _forward(partial(self._dial, sockets, port), reader, writer)
            finally:
                live.discard(writer)

        try:
            while True:
                wanted = {self._wanted.address, *self._elastic()} if namespaces.listens(spawned.init, port) else set()
                for address in open_at.keys() - wanted:
                    open_at.pop(address).close()
                    for writer in connections.pop(address):
                        writer.transport.abort()  # an address that has moved leads nowhere in the middle of a connection, too
                for address in wanted - open_at.keys():
                    connections[address] = set()
                    with suppress(OSError):  # the machine that had it has not let go yet
                        open_at[address] = await asyncio.start_server(partial(carry, address), address, port)
                await asyncio.sleep(_LOOK_S)
        finally:
            for server in open_at.values():
                server.close()

    def _elastic(self) -> list[str]:
        """Return the elastic address that the hypervisor says this machine has, if any."""
        with suppress(FileNotFoundError):
            return (self._directory / ELASTIC).read_text(encoding="ascii").split()
        return []

    async def _power_off(self, spawned: namespaces.Spawned, pressed: asyncio.Event) -> None:
        await pressed.wait()
        self._tell("shutting-down", spawned.init)
        for _ in range(round(POWER_OFF_S / PRESS_S)):
            with suppress(ProcessLookupError):
                os.kill(spawned.init, self._init.button)
            await asyncio.sleep(PRESS_S)  # the first seconds of a boot feel no button
        with suppress(ProcessLookupError):
            os.kill(spawned.keeper, signal.SIGKILL)

    async def _credentials(self) -> str:
        """Return the role's keys, made anew, as the metadata service gives them."""
        sts = root_client("sts", self._wanted.endpoints[0])
        taken = await asyncio.to_thread(sts.assume_role, RoleArn=self._wanted.role, RoleSessionName=self._wanted.instance_id)
        made = taken["Credentials"]
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
            wanted.instance_id,
            wanted.address,
            wanted.zone,
            wanted.instance_type,
            wanted.image_id,
            self._mac,
            wanted.lifecycle,
            wanted.role.rpartition("/")[2],
        )

    def _tell(self, power: str, init: int) -> None:
        state = State(power, init, started_at(init) if init else None, str(self._group or ""))
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
    with suppress(asyncio.CancelledError):  # the machine has ended; asyncio 3.11 complains of whoever says so
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
