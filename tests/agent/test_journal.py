"""Events in the state store while they happen."""

from __future__ import annotations

import time
import uuid

import pytest

from maintainer.agent import journal as module
from maintainer.agent.journal import journal
from maintainer.core.errors import NotFoundError
from maintainer.core.events import Event, decode, encode
from maintainer.core.job import Place
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.s3 import S3
from maintainer.edges.spool import Spool
from maintainer.edges.statestore import StateStore
from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import access


def recording() -> tuple[Recorder, Spool, list[Event]]:
    """Return a recorder, what a journal takes its events from, and all that it was told."""
    events = Spool()
    told: list[Event] = []

    def sink(event: Event) -> None:
        events.append(encode(event))
        told.append(event)

    return Recorder("r1", "agent", SystemClock(), sink), events, told


def test_pieces_are_kept_before_the_end_and_add_up(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY_S", 0.05)
    state = StateStore(S3(access(sandbox)), Place(sandbox.state_bucket, uuid.uuid4().hex, sandbox.endpoint))
    recorder, events, told = recording()
    recorder.record("run.started", repositories=[], maintainer="", restic="")
    with pytest.raises(NotFoundError):
        state.events("r1")
    with journal(state, "r1", events):
        recorder.record("repository.started", location="here")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                kept = state.events("r1")
                break
            except NotFoundError:
                time.sleep(0.02)
        assert [decode(line).event for line in kept.decode().splitlines()] == ["repository.started"]
        recorder.record("repository.finished", exit_code=0, seconds=1, reads=1, writes=1)
    assert [decode(line) for line in state.events("r1").decode().splitlines()] == told[1:]
    assert not events.take(1)


def test_a_piece_whose_answer_was_lost_is_neither_kept_twice_nor_put_over(sandbox: Sandbox) -> None:
    place = Place(sandbox.state_bucket, uuid.uuid4().hex, sandbox.endpoint)
    recorder, events, told = recording()
    with journal(StateStore(S3(access(sandbox)), place), "r1", events):
        recorder.record("run.started", repositories=[], maintainer="", restic="")
        StateStore(S3(access(sandbox)), place).save_events("r1", 0, (encode(told[0]) + "\n").encode())
        recorder.record("repository.finished", exit_code=0, seconds=1, reads=1, writes=1)
    state = StateStore(S3(access(sandbox)), place)
    assert [decode(line) for line in state.events("r1").decode().splitlines()] == told
