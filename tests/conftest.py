"""Fixtures that every test may use: one sandbox a worker, ended with it."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from maintainer.edges.clock import SystemClock, write_offset
from maintainer.sandbox import daemon
from tests.support.agents import Maintained
from tests.support.instances import Fleet, fleet
from tests.support.memory import memory_sandbox
from tests.support.repositories import Repository, shared_folder

# A slow machine is no failure: neither an example that takes long, nor the drawing of one.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors])
settings.load_profile("patient")

pytest_plugins = ["tests.support.matrices", "tests.support.processortime"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first, then those with machines: what begins last ends last, and one worker alone with it."""
    items.sort(
        key=lambda item: (item.get_closest_marker("long") is None, not {"park", "own_sandbox"} & set(getattr(item, "fixturenames", ())))
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what the workers shared, once the last of them has ended."""
    if not hasattr(session.config, "workerinput"):
        shutil.rmtree(shared_folder(os.getpid()), ignore_errors=True)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[daemon.Sandbox]:
    """A running sandbox, whose time no test moves."""
    yield from run_sandbox()


@pytest.fixture(scope="session")
def shared() -> Iterator[Fleet]:
    """A sandbox with machines, that all tests of a worker launch instances in, one test after the other."""
    with fleet() as made:
        yield made


@pytest.fixture
def park(shared: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """What a test sees of it: as if the sandbox had just been started."""
    return shared.anew(request.node.name)


@pytest.fixture
def own_sandbox() -> Iterator[daemon.Sandbox]:
    """A sandbox of this test's own, whose clock it may move."""
    yield from run_sandbox()


@pytest.fixture(scope="session")
def in_memory() -> Iterator[daemon.Sandbox]:
    """A worker's sandbox whose store is in memory, and knows no access control."""
    with memory_sandbox() as made:
        yield made


@pytest.fixture(scope="session")
def _strict_for_time() -> Iterator[daemon.Sandbox]:
    yield from run_sandbox()


@pytest.fixture
def strict_sandbox(_strict_for_time: daemon.Sandbox) -> daemon.Sandbox:
    """As `timed_sandbox`, and one that knows access control, whatever a folder of tests has for that."""
    write_offset(Path(_strict_for_time.directory) / "clock", 0)
    return _strict_for_time


@pytest.fixture(scope="session")
def _sandbox_for_time(_strict_for_time: daemon.Sandbox) -> daemon.Sandbox:
    return _strict_for_time


@pytest.fixture
def timed_sandbox(_sandbox_for_time: daemon.Sandbox) -> daemon.Sandbox:
    """A sandbox that a worker's tests share one after the other: each may move its clock, and finds it at the real time."""
    write_offset(Path(_sandbox_for_time.directory) / "clock", 0)
    return _sandbox_for_time


@pytest.fixture
def maintained(timed_sandbox: daemon.Sandbox, tmp_path: Path) -> Maintained:
    """A repository with one backup, whose host is expected, after its first run."""
    repository = Repository(timed_sandbox, f"m-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    repository.write("file1", 100_000, 1)
    repository.backup()
    made = Maintained(repository)
    made.expect_host()
    assert made.run().code == 0
    return made


def run_sandbox() -> Iterator[daemon.Sandbox]:
    directory = Path(tempfile.mkdtemp(prefix="maintainer-"))
    try:
        yield daemon.start(directory / "sandbox", SystemClock(), daemon.Wanted(machines=False))
    finally:
        daemon.stop(directory / "sandbox", SystemClock())
        shutil.rmtree(directory)
