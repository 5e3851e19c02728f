"""A bell is heard whenever its own thread's signal rings it."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from maintainer.edges.bell import Bell


def interrupted(wait: Callable[[float], object], at: int) -> int:
    """Wait a moment, and get a signal before the line of Python that is number `at`; return how many lines there were."""
    lines = 0

    def trace(_: FrameType, event: str, __: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == at:
                signal.raise_signal(signal.SIGUSR1)
        return trace

    sys.settrace(trace)
    try:
        wait(0.001)
    finally:
        sys.settrace(None)
    return lines


@pytest.mark.timeout(30)
def test_a_signal_before_each_line_of_a_wait_rings_and_holds_nobody_up() -> None:
    before, at, lines = signal.getsignal(signal.SIGUSR1), 0, 1
    try:
        while at < lines:
            at, bell = at + 1, Bell()
            signal.signal(signal.SIGUSR1, lambda *_, bell=bell: bell.ring())
            lines = interrupted(bell.wait, at)
            assert bell.is_rung
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert at > 1


def test_once_rung_nobody_waits() -> None:
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    started = time.monotonic()
    assert bell.wait(60)
    assert bell.wait(60)
    assert time.monotonic() - started < 1
