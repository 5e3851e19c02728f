"""The event stream over SSH: at once, whole, through cut connections, from the one machine that holds this run's key."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from maintainer.core.errors import NoInstanceError
from maintainer.core.events import Event
from maintainer.edges import ssh, userdata
from maintainer.edges.clock import SystemClock
from maintainer.edges.compute import instance as instances
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.ec2compute import Ec2Machine
from maintainer.edges.compute.instance import InstanceAgent
from maintainer.edges.compute.shapes import Instance, Marks
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door, KeyPair, generate_key
from maintainer.sandbox.daemon import Sandbox
from tests.support.machines import Booted, boot, wait
from tests.support.patience import PATIENCE_S

LINES = 420
WRITER = f"""
runcmd:
  - |
    install -d -m 0775 -g maintainer /run/maintainer
    for n in $(seq {LINES}); do echo "$n $(date +%s.%N)" >> /run/maintainer/events.jsonl; sleep 0.1; done
    echo words > /run/maintainer/errors.log
    echo 3 > /run/maintainer/exit
"""


class Gate:
    """A TCP relay in front of an sshd, that cuts what goes through it, and may stay closed for a while."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._open: list[socket.socket] = []
        self.is_closed = False
        threading.Thread(target=self._serve, daemon=True).start()

    @contextmanager
    def closed(self, seconds: float) -> Iterator[None]:
        """Cut what is open, and let nobody in for so long."""
        self.is_closed = True
        self.cut()
        time.sleep(seconds)
        self.is_closed = False
        yield

    def cut(self) -> None:
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if self.is_closed:
                    near.close()
                    continue
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_RDWR)


@dataclass
class FakeEc2:
    """EC2 as an agent on an instance needs it."""

    state: str = "running"
    ended: list[str] = field(default_factory=list)
    is_deaf: bool = False

    def look(self, instance_id: str) -> Instance:
        return Instance(instance_id, self.state, "", "", "", "spot", datetime.now(UTC), Marks("", "", "", "", ""))

    def terminate(self, instance_ids: list[str]) -> None:
        if self.is_deaf:
            raise NoInstanceError("EC2 does not answer", guidance="wait")
        self.ended += instance_ids

    def cost(self, instance: Instance, ended: datetime) -> tuple[float | None, str]:
        return None, "of no market"

    def console(self, instance_id: str) -> str:
        return "cloud-init: it went wrong"


def agent_at(door: Door, ec2: FakeEc2, told: list[Event]) -> InstanceAgent:
    recorder = Recorder("r", "controller", SystemClock(), told.append)
    return InstanceAgent(Ec2Machine(cast("Ec2", ec2), ec2.look("i-1"), SystemClock()), door, recorder, SystemClock())


@contextmanager
def followed(sandbox: Sandbox, tmp_path: Path, *lines: str, forced: str = userdata.FORCED) -> Iterator[tuple[Booted, KeyPair, KeyPair]]:
    """Boot a machine that has a host key and a login key of a run's, which may do what is `forced` alone."""
    host, login = generate_key(), generate_key()
    keys = json.dumps({"ed25519_private": host.private, "ed25519_public": host.public})
    with boot(sandbox, tmp_path, f"ssh_keys: {keys}", *lines, keys=[f"{forced} {login.public}"]) as machine:
        yield machine, host, login


@pytest.mark.long
def test_events_arrive_within_a_second_each_once_in_order_through_cuts_of_1_and_30_seconds(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[Event] = []
    arrived: list[tuple[float, float]] = []
    ec2 = FakeEc2()
    with followed(sandbox, tmp_path, WRITER) as (machine, host, login):
        gate = Gate(("127.8.1.4", machine.port))
        agent = agent_at(Door("127.0.0.1", gate.port, host.public, login), ec2, told)

        def read() -> None:
            for line in agent.lines():
                number, at = line.split()
                assert int(number) == len(arrived) + 1
                arrived.append((float(at), time.time()))

        reader = threading.Thread(target=read)
        reader.start()
        wait(lambda: len(arrived) > 20, machine.directory)
        steady = len(arrived)
        with gate.closed(1):
            pass
        wait(lambda: len(arrived) > steady + 20, machine.directory)
        with gate.closed(30):
            pass
        reader.join(PATIENCE_S)
        assert not reader.is_alive()
        assert agent.wait() == 3
        assert machine.sh("ls /run/maintainer").split() == ["collected", "errors.log", "events.jsonl", "exit"]
        gate.close()
    assert len(arrived) == LINES
    assert agent.last_words() == "words\n"
    assert ec2.ended == ["i-1"]
    assert [event.event for event in told].count("instance.reached") == 1
    assert [event.event for event in told].count("connection.lost") >= 2
    late = sorted(there - here for here, there in arrived[5:steady])
    assert late[-1] < 1


def test_another_machine_s_host_key_is_refused_and_nothing_is_sent_to_it(sandbox: Sandbox, tmp_path: Path) -> None:
    told: list[Event] = []
    ec2 = FakeEc2()
    with followed(sandbox, tmp_path, forced='restrict,command="touch /tmp/came"') as (machine, host, login):
        agent = agent_at(Door("127.8.1.4", machine.port, generate_key().public, login), ec2, told)
        assert list(agent.lines()) == []
        assert agent.wait() < 0
        assert "another host key" in agent.last_words().splitlines()[0]
        assert host.public in agent.last_words()
        assert machine.sh("ls /tmp/came").startswith("ls: cannot access")
        # The same key at the right host leaves its trace: without one, none was sent above.
        assert list(agent_at(Door("127.8.1.4", machine.port, host.public, login), FakeEc2(), []).lines()) == []
        assert machine.sh("ls /tmp/came") == "/tmp/came\n"
    assert [event.event for event in told] == ["instance.terminated", "instance.billed"]
    assert ec2.ended == ["i-1"]


@pytest.mark.parametrize(
    ("state", "said"), [("running", "the instance runs and does not answer"), ("terminated", "the instance has ended by itself")]
)
def test_a_machine_that_never_answers_is_told_with_its_console(monkeypatch: pytest.MonkeyPatch, state: str, said: str) -> None:
    monkeypatch.setattr(instances, "REACHED_WITHIN_S", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        agent = agent_at(Door("127.0.0.1", unused.getsockname()[1], "ssh-ed25519 AAAA", generate_key()), FakeEc2(state), [])
        assert list(agent.lines()) == []
    assert agent.wait() < 0
    first, second = agent.last_words().splitlines()
    assert first.startswith(said)
    assert "Connection refused" in first
    assert second == "cloud-init: it went wrong"


def test_a_machine_that_can_not_be_terminated_is_told_and_the_status_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "REACHED_WITHIN_S", 0)
    told: list[Event] = []
    agent = agent_at(Door("127.0.0.1", 1, "ssh-ed25519 AAAA", generate_key()), FakeEc2(is_deaf=True), told)
    assert list(agent.lines()) == []
    assert agent.wait() < 0
    assert [event.event for event in told] == ["termination.failed", "instance.billed"]
    assert told[0].fields["reason"] == "EC2 does not answer"


@pytest.mark.parametrize(("waited", "pause"), [(0, 0.05), (0.3, 0.05), (2, 0.2), (5, 0.5), (300, 0.5)])
def test_a_boot_is_waited_for_a_tenth_of_what_it_has_taken(waited: float, pause: float) -> None:
    assert instances.knock_pause(waited) == pause


class Endless:
    """A session whose machine answers, and says what it is told to, for ever."""

    exit_status: int | None = None

    def __init__(self, *lines: str) -> None:
        self.lines = lines

    def follow(self, from_line: int) -> Endless:
        return self

    def read(self, wait_s: float) -> tuple[str, ...]:
        time.sleep(0.01)
        return self.lines


@pytest.mark.parametrize("lines", [(), ("a line",)], ids=["it says nothing more", "it talks on"])
def test_a_machine_that_answers_beyond_its_deadline_is_followed_no_further(monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]) -> None:
    monkeypatch.setattr(ssh, "connect", lambda *_: nullcontext(Endless(*lines)))
    told: list[Event] = []
    recorder = Recorder("r", "controller", SystemClock(), told.append)
    ec2 = FakeEc2()
    machine = Ec2Machine(cast("Ec2", ec2), ec2.look("i-1"), SystemClock())
    door = Door("127.0.0.1", 1, "ssh-ed25519 AAAA", generate_key())
    agent = InstanceAgent(machine, door, recorder, SystemClock(), until=datetime.now(UTC) + timedelta(seconds=1))
    started = time.monotonic()
    for _ in agent.lines():
        assert time.monotonic() - started < 60
    assert agent.wait() < 0
    assert "its deadline has passed" in agent.last_words()
    assert ec2.ended == ["i-1"]
    assert [event.event for event in told] == ["instance.reached", "instance.terminated", "instance.billed"]
