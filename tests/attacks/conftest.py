"""Attacks are made on a store in memory, but where a test asks for a `strict` one, which knows access control."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.memory import memory_sandbox


@pytest.fixture(scope="session")
def _sandbox_for_time() -> Iterator[Sandbox]:
    with memory_sandbox() as made:
        yield made
