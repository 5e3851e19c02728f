"""The store's keys for a machine without a role: what is taken for keys, when they are given, and that nothing shows them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from maintainer.core.errors import ConnectionLostError, SecretError
from maintainer.core.events import Event
from maintainer.edges.clock import SystemClock
from maintainer.edges.compute.keys import Keys, parse
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Session

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "wJalrXUtnFEMI"
PLAIN = {"AccessKeyId": "AKIA", "SecretAccessKey": SECRET}


def ending(after: timedelta) -> dict[str, str]:
    return {**PLAIN, "SessionToken": "t", "Expiration": (NOW + after).isoformat()}


@pytest.mark.parametrize("given", [{"Version": 1, **PLAIN}, PLAIN, {"Credentials": PLAIN}, {**PLAIN, "SessionToken": None}])
def test_keys_are_taken_as_the_aws_command_prints_them(given: object) -> None:
    packed, ends = parse(json.dumps(given), NOW)
    assert json.loads(packed) == {"Version": 1, **PLAIN}
    assert ends is None


def test_keys_that_end_say_when() -> None:
    packed, ends = parse(json.dumps(ending(timedelta(hours=1))), NOW)
    assert json.loads(packed) == {"Version": 1, **ending(timedelta(hours=1))}
    assert ends == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not what was expected"),
        (SECRET, "not what was expected"),
        (f'["{SECRET}"]', "not what was expected"),
        (f'{{"SecretAccessKey": "{SECRET}"}}', "not what was expected"),
        (json.dumps({**PLAIN, "Expiration": "tomorrow"}), "not what was expected"),
        (json.dumps({**PLAIN, "Expiration": "2026-01-01T01:00:00"}), "not what was expected"),
        (json.dumps({**PLAIN, "Expiration": 7}), "not what was expected"),
        (json.dumps(ending(timedelta(0))), "ended at 2026-01-01T00:00:00"),
    ],
)
def test_anything_else_is_told_and_not_shown(text: str, why: str) -> None:
    with pytest.raises(SecretError, match=why) as raised:
        parse(text, NOW)
    assert SECRET not in f"{raised.value} {raised.value.guidance} {raised.value.__cause__} {raised.value.__suppress_context__}"


class Noon(SystemClock):
    """A clock that is set."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class Ear:
    """The other end of a connection: what it was given, and the status that it answers with."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.status = 0

    def ask(self, command: str, given: bytes) -> tuple[int, str]:
        assert command == "keys"
        if not self.status:
            self.given.append(json.loads(given))
        return self.status, "no" if self.status else ""


def test_they_are_given_once_and_anew_before_they_end() -> None:
    clock, ear, told = Noon(), Ear(), list[Event]()
    lives, works = timedelta(hours=1), [True]

    def read() -> str:
        if not works[0]:
            raise SecretError("the command ended with status 1", guidance="")
        return json.dumps({**ending(lives), "Expiration": (clock.time + lives).isoformat()})

    keys = Keys(read, clock, Recorder("r", "controller", clock, told.append))
    session = cast("Session", ear)
    keys.fetch()
    for minutes, given in ((0, 1), (39, 1), (40, 2), (79, 2)):
        clock.time = NOW + timedelta(minutes=minutes)
        keys.give(session, "m")
        assert len(ear.given) == given, minutes
    works[0] = False
    for seconds in (4800, 4830, 4860):
        clock.time = NOW + timedelta(seconds=seconds)
        keys.give(session, "m")
    assert [event.event for event in told] == ["keys.given", "keys.given", "keys.failed", "keys.failed"]
    works[0] = True
    clock.time = NOW + timedelta(minutes=82)
    ear.status = 2
    with pytest.raises(ConnectionLostError, match=r"not taken \(status 2\) no"):
        keys.give(session, "m")
    ear.status = 0
    keys.give(session, "m")
    assert len(ear.given) == 3, "what was not taken is given again"
    assert SECRET not in repr(told)


def test_keys_that_do_not_end_are_given_once_to_each_machine() -> None:
    clock, ear = Noon(), Ear()
    keys = Keys(lambda: json.dumps(PLAIN), clock, Recorder("r", "controller", clock, lambda _: None))
    keys.fetch()
    for _ in range(3):
        keys.give(cast("Session", ear), "m")
        clock.time += timedelta(days=1)
    assert ear.given == [{"Version": 1, **PLAIN}]
