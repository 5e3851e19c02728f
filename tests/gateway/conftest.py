"""One sandbox with machines a worker; each test has a configuration, a state store and repositories of its own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.instances import Fleet, fleet


@pytest.fixture(scope="session")
def shared() -> Iterator[Fleet]:
    """The sandbox that all tests of a worker launch instances in, one test after the other."""
    with fleet() as made:
        yield made


@pytest.fixture
def park(shared: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """What a test sees of it: as if the sandbox had just been started."""
    return shared.anew(request.node.name)
