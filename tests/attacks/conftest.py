"""Attacks are made on a store in memory, but where a test asks for a `strict` one, which knows access control."""

from __future__ import annotations

import pytest

from maintainer.sandbox.daemon import Sandbox


@pytest.fixture(scope="session")
def _sandbox_for_time(in_memory: Sandbox) -> Sandbox:
    return in_memory
