"""The way to an instance through an EC2 Instance Connect Endpoint: whole, through tunnels that end, for whom it is allowed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintainer.cli import compute
from maintainer.core.errors import AccessDeniedError
from maintainer.core.events import Event
from maintainer.edges import tunnel
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.tunnel import Endpoint
from maintainer.sandbox.plant import NETWORK
from maintainer.sandbox.tunnels import MOST
from maintainer.settings.load import load
from tests.controller.test_end import settled
from tests.support.instances import Fleet, shown
from tests.support.patience import until

ADDRESS = NETWORK.replace("0.0/16", "9.1")
SENT = os.urandom(5_000_000)


@pytest.fixture
def park(park: Fleet) -> Fleet:
    park.repository()
    return park


@pytest.fixture
def echo() -> Iterator[int]:
    """A server in the machines' network that sends back what it gets; its port."""
    listener = socket.create_server((ADDRESS, 0))

    def serve() -> None:
        while True:
            try:
                taken, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_echo, args=(taken,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _echo(taken: socket.socket) -> None:
    with taken:
        while chunk := taken.recv(65_536):
            taken.sendall(chunk)


def endpoint(park: Fleet, profile: str = "controller") -> Endpoint:
    """Return the sandbox's endpoint, for whom a profile names."""
    park.configure('profile = "controller"', f'profile = "{profile}"')
    told: list[Event] = []
    chosen = load(Path(park.sandbox.config))
    park.configure(f'profile = "{profile}"', 'profile = "controller"')
    return compute.ec2(chosen, Recorder("r", "controller", SystemClock(), told.append)).tunnels(park.plant.connect)


def test_what_goes_in_comes_back_whole(park: Fleet, echo: int) -> None:
    opened = endpoint(park).open(ADDRESS, echo)
    threading.Thread(target=opened.near.sendall, args=(SENT,), daemon=True).start()
    got = b""
    while len(got) < len(SENT):
        got += opened.near.recv(65_536)
    assert got == SENT
    opened.near.close()


def test_nobody_at_the_other_end_is_told_as_that(park: Fleet) -> None:
    opened = endpoint(park).open(ADDRESS, 1)
    assert opened.near.recv(1) == b""
    assert opened.why == "Unable to connect to target: Connection refused"


def test_who_may_not_is_refused_and_an_endpoint_holds_so_many(park: Fleet, echo: int) -> None:
    allowed = endpoint(park)
    with pytest.raises(AccessDeniedError, match="not authorized to perform: ec2-instance-connect:OpenTunnel"):
        endpoint(park, "host").open(ADDRESS, echo)
    held = [allowed.open(ADDRESS, echo) for _ in range(MOST)]
    with pytest.raises(OSError, match="429 Too many tunnels"):
        allowed.open(ADDRESS, echo)
    for one in held:
        one.near.close()
    until(lambda: _opens(allowed, echo))


def _opens(allowed: Endpoint, port: int) -> bool:
    try:
        allowed.open(ADDRESS, port).near.close()
    except OSError:
        return False
    return True


def test_a_run_goes_on_through_tunnels_that_end(park: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "LONGEST_S", 3)
    repository = park.repository("long", fast=False)
    code, events = park.run("--repository", "long")
    assert code == 0, shown(events)
    lost = [event.fields for event in events if event.event == "connection.lost"]
    assert lost, shown(events)
    assert any("Max tunnel duration exceeded" in str(one["reason"]) for one in lost)
    settled(park, "long", repository)


def test_a_controller_that_may_open_none_says_so_and_leaves_no_instance(park: Fleet) -> None:
    repository = park.repository("closed")
    text = Path(park.sandbox.config).read_text()
    park.configure('profile = "controller"', 'profile = "host"')
    code, output, _ = park.call("run", "--once", "--repository", "closed")
    Path(park.sandbox.config).write_text(text)
    assert code == 6
    assert "opens no tunnel" in output
    assert "allow ec2-instance-connect:OpenTunnel" in output
    settled(park, "closed", repository)


def test_an_endpoint_that_is_not_there_is_told_before_a_launch(park: Fleet) -> None:
    park.configure(park.plant.connect, "eice-0000")
    code, output, _ = park.call("run", "--once")
    assert code == 2
    assert "instance_connect_endpoint: no eice-0000 here" in output
    assert not park.instances(living=False)


def test_within_the_network_no_endpoint_is_needed(park: Fleet) -> None:
    park.configure(f'instance_connect_endpoint = "{park.plant.connect}"\n', "")
    assert park.run()[0] == 0
