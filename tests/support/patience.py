"""How long tests wait. What passes never waits so long: the limit is for what would hang, on a machine with a tenth of the speed too."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 900


def until(true: Callable[[], bool], is_alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until something is true, for as long as that which would make it true is alive."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert is_alive() or true(), f"{true.__qualname__} never came true, and nothing is left that would make it so"
        assert time.monotonic() < deadline, f"{true.__qualname__} never came true"
        time.sleep(0.05)
