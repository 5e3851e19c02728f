"""Doing many things at the same time and taking what they came to in order, with a bounded number under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4
"""How many things wait for each worker: `Executor.map` lets all of them wait, and each takes kilobytes."""


def in_order(act: Callable[[T], R], things: Iterable[T], workers: int, name: str) -> Iterator[tuple[T, R]]:
    """Yield each thing and what `act` came to, in order; `things` is iterated by the caller's own thread."""
    rest = iter(things)
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        waiting: deque[tuple[T, Future[R]]] = deque((one, pool.submit(act, one)) for one in islice(rest, workers * AHEAD))
        try:
            while waiting:
                thing, future = waiting.popleft()
                result = future.result()
                waiting.extend((one, pool.submit(act, one)) for one in islice(rest, 1))
                yield thing, result
        finally:
            for _, future in waiting:
                future.cancel()
