"""Hosts' repositories are copies, but where a test says that restic makes them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import cheapkeys


@pytest.fixture(autouse=True)
def _cheap_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.node.get_closest_marker("restic_makes_it"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        cheapkeys.use(patch)
        yield
