"""Processes in namespaces of their own, root inside and nobody outside: what the sandbox's machines are made of.

Every process gets a user namespace, also where we are root: root without one holds the machine's own capabilities (its clock, its devices).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maintainer.core.errors import SandboxError
from maintainer.sandbox import cgroups

IDS = 65_536
FIRST_DIRECTORY = 10
SHIFT = 1_700_000_000
"""What uid 0 inside is outside when we are root; nobody's on a machine as distributions make them (systemd's ranges end below)."""

_NEW_NS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
_NEW_USER, _NEW_PID, _NEW_NET = 0x10000000, 0x20000000, 0x40000000
_ALL = _NEW_NS | _NEW_CGROUP | _NEW_UTS | _NEW_IPC | _NEW_USER | _NEW_PID | _NEW_NET
_SET_PDEATHSIG = 1
_IP_FREEBIND = 15
_LISTEN = "0A"
_TAKE_S = 0.02
_FILLS_QUEUE = 4
"""More connections than a queue of length 0 takes (listen(2))."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids outside that stand for 0 and for 1 up to 65535 inside."""

    zero: int
    rest: int

    def map(self) -> list[tuple[int, int, int]]:
        """Return the lines of a uid_map: inside, outside, count."""
        return [(0, self.zero, 1), (1, self.rest, IDS - 1)]


def ids() -> Ids:
    """Return the ids that this user's machines get; SandboxError says what the machine lacks."""
    if os.geteuid() == 0:
        return Ids(SHIFT, SHIFT + 1)
    user = pwd.getpwuid(os.geteuid()).pw_name
    starts = [_subordinate(Path(name), user) for name in ("/etc/subuid", "/etc/subgid")]
    if None in starts or starts[0] != starts[1]:
        do = f"as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        raise SandboxError(f"{user} has no range of {IDS} subordinate ids (the same in /etc/subuid and /etc/subgid)", guidance=do)
    if shutil.which("newuidmap") is None:
        raise SandboxError("newuidmap is not installed", guidance="apt-get install uidmap")
    return Ids(os.geteuid(), int(starts[0] or 0))


def _subordinate(file: Path, user: str) -> int | None:
    with suppress(FileNotFoundError):
        for line in file.read_text(encoding="utf-8").splitlines():
            name, start, count = line.split(":")
            if name in (user, str(os.geteuid())) and int(count) >= IDS - 1:
                return int(start)
    return None


@dataclass(frozen=True, slots=True)
class Spawned:
    """A process that is PID 1 of its namespace. `keeper` is our child, which ends with it and as it; `init` is its id outside."""

    keeper: int
    init: int

    def wait(self) -> int:
        """Return the exit status; negative for the signal that killed it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.keeper, 0)[1])


def spawn(
    argv: Sequence[str], environment: Mapping[str, str], output: int, directories: Sequence[Path] = (), group: Path | None = None
) -> Spawned:
    """Start a program as root and PID 1 of namespaces of its own, both outputs to a file descriptor. It dies with the calling thread.

    With `group`, a control group, that is the root of all that it sees.

    `directories` are open to it as /proc/self/fd/10 and so on: a root that is nobody outside may not walk to them through a home that is
    closed to others.
    """
    wanted = ids()
    ready, tell_ready = os.pipe()
    go, tell_go = os.pipe()
    keeper = os.fork()
    if keeper == 0:
        os.close(ready)
        os.close(tell_go)
        if group is not None:
            cgroups.join(group)
        _keep(argv, environment, output, directories, (go, tell_ready))
    os.close(tell_ready)
    os.close(go)
    try:
        if not _answer(ready):
            raise _refused()
        _write_maps(keeper, wanted)
        os.write(tell_go, b"go\n")
        if not (init := _answer(ready)):
            raise _refused()
        return Spawned(keeper, int(init))
    except BaseException:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        raise
    finally:
        os.close(ready)
        os.close(tell_go)


def _keep(argv: Sequence[str], environment: Mapping[str, str], output: int, directories: Sequence[Path], pipes: tuple[int, int]) -> None:
    """Be the child: enter the namespaces, start PID 1, wait for it, end as it ended. Never returns."""
    go, tell_ready = pipes
    try:
        parent = os.getppid()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _call("unshare", _ALL)
        # Now, while we are still the user who may walk there, and in the new namespace, whose mounts alone an overlay takes.
        opened = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in directories]
        os.write(tell_ready, b"unshared\n")
        if not _answer(go):
            os._exit(1)
        os.setgroups([])
        os.setgid(0)
        os.setuid(0)
        # Becoming another user clears it, so not before.
        _call("prctl", _SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() not in (parent, 0):
            os._exit(1)
        init = os.fork()
        if init == 0:
            _call("prctl", _SET_PDEATHSIG, signal.SIGKILL)
            null = os.open(os.devnull, os.O_RDONLY)
            # Twice, so that no target is a source that is still to come.
            moved = [fcntl.fcntl(one, fcntl.F_DUPFD, 100) for one in (null, output, output, *opened)]
            targets = [0, 1, 2, *range(FIRST_DIRECTORY, FIRST_DIRECTORY + len(opened))]
            for one, target in zip(moved, targets, strict=True):
                os.dup2(one, target)
            os.chdir("/")
            os.closerange(3, FIRST_DIRECTORY)
            os.closerange(FIRST_DIRECTORY + len(opened), 1024)
            os.execvpe(argv[0], list(argv), environment)  # noqa: S606 - the caller's own program
        os.write(tell_ready, f"{init}\n".encode())
        os.close(tell_ready)
        code = os.waitstatus_to_exitcode(os.waitpid(init, 0)[1])
        if code < 0:
            if -code != signal.SIGKILL:
                signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)
    except BaseException as error:  # noqa: BLE001 - a forked child must not run its parent's code
        os.write(2, f"machine: {error}\n".encode())
        os._exit(1)


def _write_maps(pid: int, wanted: Ids) -> None:
    if os.geteuid() == 0:
        text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in wanted.map())
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{pid}/{name}").write_text(text, encoding="ascii")
        return
    for tool, own in (("newuidmap", wanted.zero), ("newgidmap", os.getegid())):
        flat = [str(number) for line in [(0, own, 1), wanted.map()[1]] for number in line]
        subprocess.run([tool, str(pid), *flat], check=True)  # noqa: S603 - numbers of ours


def _answer(pipe: int) -> str:
    """Read one line; empty when the other side is gone."""
    got = b""
    while not got.endswith(b"\n"):
        byte = os.read(pipe, 1)
        if not byte:
            return ""
        got += byte
    return got.decode().strip()


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _refused() -> SandboxError:
    return SandboxError(
        "the kernel refused a user namespace",
        guidance="sysctl user.max_user_namespaces must not be 0, and AppArmor or a container must allow user namespaces",
    )


class Sockets:
    """Sockets inside a machine's network, handed out by a process that lives there: no other way leads in or out."""

    def __init__(self, init: int) -> None:
        """Fork that process. Call before any thread is started."""
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            _hand_out(init, theirs)
        theirs.close()

    def listening(self, host: str, port: int) -> socket.socket:
        """Return a socket that listens there, inside."""
        return self._ask(f"{host}:{port}")

    async def deaf(self, host: str, port: int) -> list[socket.socket]:
        """Return sockets of which one listens there, inside, and whose others fill its queue: while they are open nobody is answered."""
        listening = self.listening(host, port)
        listening.listen(0)
        queue = [self.unconnected() for _ in range(_FILLS_QUEUE)]
        for one in queue:
            one.setblocking(False)
            while one.connect_ex((host, port)) == errno.ENETUNREACH:  # noqa: ASYNC110 - before its network is up
                await asyncio.sleep(_TAKE_S)
        return [listening, *queue]

    def unconnected(self) -> socket.socket:
        """Return a socket whose connections begin inside."""
        return self._ask("-")

    def _ask(self, what: str) -> socket.socket:
        self._ours.send(what.encode())
        answer, descriptors, _, _ = socket.recv_fds(self._ours, 300, 1)
        if answer != b"ok" or not descriptors:
            for one in descriptors:
                os.close(one)
            raise SandboxError(f"no socket in the machine's network: {answer.decode()}", guidance="see the machine's supervisor.log")
        return socket.socket(fileno=descriptors[0])


def _hand_out(init: int, line: socket.socket) -> None:
    """Be the process inside. Never returns; ends with its parent."""
    try:
        _call("prctl", _SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        spaces = [(os.open(f"/proc/{init}/ns/{name}", os.O_RDONLY), flag) for name, flag in (("user", _NEW_USER), ("net", _NEW_NET))]
        for descriptor, flag in spaces:
            _call("setns", descriptor, flag)
        while asked := line.recv(300).decode():
            made = socket.socket()
            answer = b"ok"
            if asked != "-":
                host, _, port = asked.rpartition(":")
                try:
                    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    made.setsockopt(socket.SOL_IP, _IP_FREEBIND, 1)  # before the machine has given itself its addresses
                    made.bind((host, int(port)))
                    made.listen(64)
                except OSError as error:
                    answer = str(error).encode()
            socket.send_fds(line, [answer], [made.fileno()])
            made.close()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - a forked child must not run its parent's code
        line.send(repr(error).encode())
        os._exit(1)


def listens(init: int, port: int) -> bool:
    """Tell whether something in a process's network listens on a port; without a connection, since sshd penalises whoever says nothing."""
    with suppress(OSError):
        tables = [Path(f"/proc/{init}/net/{name}").read_text(encoding="ascii") for name in ("tcp", "tcp6")]
        rows = [line.split() for table in tables for line in table.splitlines()[1:]]
        return any(row[1].endswith(f":{port:04X}") and row[3] == _LISTEN for row in rows)
    return False
