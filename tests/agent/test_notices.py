"""EC2's notices, read from the metadata service that the sandbox's machines have."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from maintainer.agent import notices
from maintainer.agent.notices import TAKEN_BACK, heeded
from maintainer.core.errors import ConnectionLostError
from maintainer.core.events import Event
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.metadata import MetadataService, Notice
from maintainer.sandbox.imds import Description, Metadata
from tests.support.patience import PATIENCE_S, until

NOTICE = {"action": "terminate", "time": "2026-11-27T12:02:00Z"}


@dataclass
class Served:
    """A metadata service on loopback."""

    url: str
    metadata: Metadata

    def notice(self, name: str, body: object) -> None:
        self.metadata.notices.mkdir(exist_ok=True)
        new = self.metadata.notices / "new"
        new.write_text(json.dumps(body))
        new.rename(self.metadata.notices / name)


async def _no_credentials() -> str:
    return "{}"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    described = Description("i-1", "10.0.0.1", "us-east-1a", "m5.large", "ami-1", "02:00:00:00:00:01", "spot", "")
    metadata = Metadata(described, b"", _no_credentials, tmp_path / "notices", SystemClock())
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(metadata.application(), access_log=None)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    host, port = runner.addresses[0][:2]
    yield Served(f"http://{host}:{port}", metadata)
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE_S)
    loop.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return what TAKEN_BACK is noted in, with a watch that looks often."""
    monkeypatch.setattr(notices, "EVERY_S", 0.02)
    found: list[int] = []
    before = signal.signal(TAKEN_BACK, lambda number, _: found.append(number))
    yield found
    signal.signal(TAKEN_BACK, before)


def watch(served: Served, told: list[Event]) -> AbstractContextManager[None]:
    return heeded(MetadataService(served.url), Recorder("r", "agent", SystemClock(), told.append))


def names(told: list[Event]) -> list[str]:
    return [event.event for event in told]


def test_what_ec2_has_not_said_is_none(served: Served) -> None:
    service = MetadataService(served.url)
    assert (service.interruption(), service.rebalance()) == (None, None)
    served.notice("instance-action", NOTICE)
    served.notice("rebalance", {"noticeTime": "2026-11-27T11:50:00Z"})
    assert service.interruption() == Notice("terminate", "2026-11-27T12:02:00Z")
    assert service.rebalance() == "2026-11-27T11:50:00Z"


def test_a_token_that_is_forgotten_is_taken_anew(served: Served) -> None:
    service = MetadataService(served.url)
    assert service.interruption() is None
    served.metadata._tokens.clear()
    with pytest.raises(ConnectionLostError, match="401"):
        service.interruption()
    assert service.interruption() is None


@pytest.mark.parametrize("body", [[], {"action": "terminate"}, "no"])
def test_a_notice_of_another_form_is_no_notice(served: Served, body: object) -> None:
    served.notice("instance-action", body)
    with pytest.raises(ConnectionLostError, match="does not answer"):
        MetadataService(served.url).interruption()


def test_a_notice_is_told_and_sent_once(served: Served, sent: list[int]) -> None:
    told: list[Event] = []
    with watch(served, told):
        served.notice("rebalance", {"noticeTime": "2026-11-27T11:50:00Z"})
        _wait(lambda: names(told) == ["rebalance.recommended"])
        assert not sent
        served.notice("instance-action", NOTICE)
        _wait(lambda: bool(sent))
    assert names(told) == ["rebalance.recommended", "interruption.noticed"]
    assert told[1].fields == {"action": "terminate", "at": "2026-11-27T12:02:00Z"}
    assert sent == [TAKEN_BACK]


def test_nothing_is_sent_after_its_end(served: Served, sent: list[int]) -> None:
    told: list[Event] = []
    with watch(served, told):
        assert "notices" in [thread.name for thread in threading.enumerate()]
    assert "notices" not in [thread.name for thread in threading.enumerate()]
    assert (told, sent) == ([], [])


def test_a_service_that_is_silent_is_told_once_and_asked_again(served: Served, sent: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    served.notice("instance-action", "unclear")
    told: list[Event] = []
    errors = ""

    def complained() -> bool:
        nonlocal errors
        errors += capsys.readouterr().err
        return "can not be read" in errors

    with watch(served, told):
        _wait(complained)
        served.notice("instance-action", NOTICE)
        _wait(lambda: bool(sent))
    errors += capsys.readouterr().err
    assert errors.count("can not be read") == 1


def _wait(true: Callable[[], bool]) -> None:
    until(true)
