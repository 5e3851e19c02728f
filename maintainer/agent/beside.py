"""What is done again and again beside a block of code, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def again(act: Callable[[], bool], every_s: float, name: str) -> Iterator[None]:
    """Do `act` every so many seconds until it returns False, or until the block has ended: when this returns it does not run any more."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(every_s) and act():
            pass

    thread = threading.Thread(target=go_on, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
