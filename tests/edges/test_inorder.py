"""Many things at the same time: their results in order, and never more under way than the workers have use for."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from maintainer.edges.inorder import AHEAD, in_order


def test_results_come_in_order_and_only_so_many_are_taken_ahead() -> None:
    taken = done = 0

    def things() -> Iterator[int]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number

    def act(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return -number

    for number, (thing, result) in enumerate(in_order(act, things(), 4, "test")):
        done += 1
        assert (thing, result) == (number, -number)
        assert taken - done <= 4 * AHEAD
    assert done == 200


def test_what_one_raises_ends_it_and_what_waits_is_not_begun() -> None:
    begun: list[int] = []
    held = threading.Event()

    def act(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise ValueError(number)
        held.wait(0.2)
        return number

    with pytest.raises(ValueError, match="0"):
        list(in_order(act, range(100), 2, "test"))
    assert len(begun) < 2 * AHEAD
