"""SSH to one machine: a pinned host key, the event stream as lines; an instance's keys are those of one run."""

from __future__ import annotations

import io
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maintainer.core.errors import ConnectionLostError, ExitCode, MaintainerError
from maintainer.core.events import LONGEST_LINE
from maintainer.edges.clock import Clock
from maintainer.edges.tunnel import Endpoint, Tunnel

USER = "maintainer"
"""The account in the image whose key may do nothing but follow and stop."""

KEY_TYPE = "ssh-ed25519"
TIMEOUT_S = 15.0
"""For each of: connection, banner, key exchange, login, opening a channel."""
HEARTBEAT_S = 5.0
SILENCE_S = 20.0
"""A peer that answers no heartbeat for so long is dead, whatever TCP still believes."""
CHUNK = 64 * 1024
AGAIN = "the stream is read on from where it broke off, as soon as the instance answers again"

# paramiko writes tracebacks of ordinary network failures to stderr; each of them reaches us as an exception anyway.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)


class HostKeyMismatchError(MaintainerError):
    """Who answered is not the instance of this run. Nothing was sent to it but the start of a key exchange."""

    exit_code = ExitCode.LOST


class RefusedError(ConnectionLostError):
    """The login was refused: for ever, or until the boot has gone further."""


class NobodyAnswersError(ConnectionLostError):
    """No connection came to be: whoever knocks again harms nobody."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key in OpenSSH's formats; `public` is `ssh-ed25519 AAAA…` without a comment."""

    public: str
    private: str = field(repr=False)


def generate_key() -> KeyPair:
    """Make a key for one run."""
    return _pair(Ed25519PrivateKey.generate())


def read_key(text: str) -> KeyPair:
    """Read a private key in OpenSSH's format. ValueError where it is no ed25519 key, or has a passphrase."""
    try:
        key = serialization.load_ssh_private_key(text.strip().encode() + b"\n", None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"a key of another kind ({type(key).__name__})")  # noqa: TRY004 - of what was read, not of the argument
    return _pair(key)


def _pair(key: Ed25519PrivateKey) -> KeyPair:
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(public.decode(), private.decode())


@dataclass(frozen=True, slots=True)
class Door:
    """Where an instance answers, who it must prove to be, and the key that opens."""

    address: str
    port: int
    host_public: str
    login: KeyPair
    endpoint: Endpoint | None = None
    """Through which it is reached, if not directly."""
    user: str = USER
    run: str = ""
    """Which of a machine's runs is meant; empty where it has only one."""

    def open(self) -> tuple[socket.socket, Tunnel | None]:
        """Connect, and say by what. OSError, and what `Endpoint.open` raises."""
        if self.endpoint is None:
            return socket.create_connection((self.address, self.port), timeout=TIMEOUT_S), None
        tunnel = self.endpoint.open(self.address, self.port)
        return tunnel.near, tunnel


class Stream:
    """The event lines of one connection."""

    def __init__(self, channel: paramiko.Channel, pulse: Pulse) -> None:
        self.exit_status: int | None = None
        self._channel = channel
        self._pulse = pulse
        self._partial = b""

    def read(self, wait_s: float) -> tuple[str, ...]:
        """Return the whole lines that arrived, after waiting `wait_s` at most for the first; none is an answer.

        Sets `exit_status` when the other end has closed. A line that was cut is dropped: whoever comes back counts whole lines only.
        ConnectionLostError when the connection is cut, or dead.
        """
        self._channel.settimeout(wait_s)
        try:
            chunk = self._channel.recv(CHUNK)
        except TimeoutError:
            self._pulse.check()
            return ()
        except OSError as error:
            raise lost(f"reading failed ({error})") from error
        if not chunk:
            self._close()
            return ()
        *whole, partial = (self._partial + chunk).split(b"\n")
        # Of a line without an end no more is held than shows that it is none of an agent's.
        self._partial = partial[: LONGEST_LINE + 1]
        return tuple(line.decode(errors="replace") for line in whole)

    def _close(self) -> None:
        # The status arrives after the end of the data, or never: then paramiko says -1.
        self._channel.status_event.wait(SILENCE_S)
        status = self._channel.exit_status
        if status < 0:
            raise lost("the connection was cut")
        self.exit_status = status


class Pulse:
    """Asks the peer for an answer every HEARTBEAT_S, in a thread of its own: keepalives that nobody answers go unnoticed for minutes."""

    def __init__(self, transport: paramiko.Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._answered = clock.monotonic()
        self._stopped = threading.Event()
        threading.Thread(target=self._beat, name="ssh-heartbeat", daemon=True).start()

    def check(self) -> None:
        """Raise ConnectionLostError when the peer has been silent for too long."""
        silent = self._clock.monotonic() - self._answered
        if silent > SILENCE_S:
            raise lost(f"no answer for {silent:.0f} s")

    def stop(self) -> None:
        """Beat no more."""
        self._stopped.set()

    def _beat(self) -> None:
        while not self._stopped.wait(HEARTBEAT_S) and self._transport.is_active():
            # A refusal is an answer too; this returns when one came or the transport has ended.
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
                if self._transport.is_active():
                    self._answered = self._clock.monotonic()


class Session:
    """One authenticated connection."""

    def __init__(self, transport: paramiko.Transport, pulse: Pulse, run: str = "") -> None:
        self._transport = transport
        self._pulse = pulse
        self._run = f" {run}" if run else ""

    def follow(self, from_line: int) -> Stream:
        """Return the event lines after the first `from_line`."""
        return Stream(self._ask(f"follow{self._run} {from_line}"), self._pulse)

    def wish(self, what: str) -> str:
        """Leave a wish: `stop` (in order), or `collected` (all has been read, the machine may go).

        Returns the end of what the agent wrote beside its events.
        """
        status, said = self.ask(f"{what}{self._run}")
        if status:
            raise lost(f"the wish to {what} was not taken (status {status}) {said}".rstrip())
        return said

    def ask(self, command: str, given: bytes = b"", *, within_s: float = TIMEOUT_S) -> tuple[int, str]:
        """Ask for a command, and give it what it reads; return its exit status and what it wrote. ConnectionLostError."""
        with self._ask(command) as channel, channel.makefile("rb") as words:
            channel.settimeout(within_s)
            try:
                for at in range(0, len(given), CHUNK):  # paramiko copies all that is left for each packet
                    channel.sendall(given[at : at + CHUNK])
                channel.shutdown_write()
                said = bytes(words.read())
            except OSError as error:
                raise lost(f"reading failed ({error})") from error
            channel.status_event.wait(within_s)
            if channel.exit_status < 0:
                raise lost("the connection was cut")
            return channel.exit_status, said.decode(errors="replace")

    def _ask(self, command: str) -> paramiko.Channel:
        try:
            channel = self._transport.open_session(timeout=TIMEOUT_S)
            channel.exec_command(command)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise lost(f"no channel ({error})") from error
        return channel


@contextmanager
def connect(door: Door, clock: Clock) -> Iterator[Session]:
    """Connect and log in; closes at the end. ConnectionLostError when nobody answers, HostKeyMismatchError when somebody else does.

    sshd 10 punishes addresses whose connections break off early (sshd_config, PerSourcePenalties): back off between two attempts.
    """
    try:
        way, tunnel = door.open()
        transport = paramiko.Transport(way)
    except OSError as error:
        raise NobodyAnswersError(f"{door.address} port {door.port}: {error}", guidance=AGAIN) from error
    try:
        try:
            _log_in(transport, door)
        except ConnectionLostError as error:
            if tunnel is not None and tunnel.why:  # it was open, and nobody was at its other end
                raise NobodyAnswersError(f"{door.address} port {door.port}: {tunnel.why}", guidance=AGAIN) from error
            raise
        pulse = Pulse(transport, clock)
        try:
            yield Session(transport, pulse, door.run)
        except ConnectionLostError as error:
            raise (lost(tunnel.why) if tunnel is not None and tunnel.why else error) from error
        finally:
            pulse.stop()
    finally:
        transport.close()


def _log_in(transport: paramiko.Transport, door: Door) -> None:
    transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = TIMEOUT_S
    transport.get_security_options().key_types = (KEY_TYPE,)
    try:
        transport.start_client(timeout=TIMEOUT_S)
        key = transport.get_remote_server_key()
        found = f"{key.get_name()} {key.get_base64()}"
        if found != door.host_public:
            raise _mismatch(door, found)
        transport.auth_publickey(door.user, paramiko.Ed25519Key.from_private_key(io.StringIO(door.login.private)))
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise _mismatch(door, f"no {KEY_TYPE} key") from error
    except paramiko.AuthenticationException as error:
        # Worth another try while a machine boots: PAM lets nobody in then (pam_nologin).
        raise RefusedError(f"{door.address} port {door.port}: {error or type(error).__name__}", guidance=AGAIN) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise lost(f"{door.address} port {door.port}: {error or type(error).__name__}") from error


def lost(reason: str) -> ConnectionLostError:
    """Return the error for a connection that is no more."""
    return ConnectionLostError(reason, guidance=AGAIN)


def _mismatch(door: Door, found: str) -> HostKeyMismatchError:
    return HostKeyMismatchError(
        f"{door.address} port {door.port} answered with another host key ({found}) than the pinned one ({door.host_public})",
        guidance=(
            "nothing was sent: somebody stands between, or an image brought a host key of its own and sshd started before cloud-init; "
            "a machine of your own that was installed anew needs its new key as host_key"
        ),
    )
