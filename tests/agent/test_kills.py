"""The agent is killed before and after each write that it makes, night after night: the next run ends where an undisturbed one would have."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.edges.clock import SystemClock
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.killing import When, run_and_kill, writes_of
from tests.support.matrices import Rows
from tests.support.repositories import Repository

pytestmark = pytest.mark.timeout(3600)  # some seventy runs of the agent, one after the other, with --all
DAY = 86_400
STEADY = 8
"""Nights until each brings all that a run does: heals, admits, forgets, repacks, dooms, marks and releases."""
LEAST, LEAST_AT_FIRST, MOST = 30, 5, 200
"""Writes of one run: the matrix must be about all that a run does, and end."""


def begun(sandbox: Sandbox, place: Path) -> Maintained:
    """A repository of which each night a snapshot is forgotten, what was doomed the night before marked, and older versions released."""
    place.mkdir(exist_ok=True)
    repository = Repository(sandbox, f"k-{uuid.uuid4().hex[:12]}", place)
    repository.init()
    made = Maintained(repository, keep=Keep(last=2))
    made.limits |= {"probation_s": 3 * DAY, "grace_s": DAY, "answer_s": 2 * DAY}
    made.expect_host()
    return made


def day(maintained: Maintained, number: int) -> None:
    """Let a day pass, on which the host backs up and, but for the first, somebody attacks."""
    repository = maintained.repository
    maintained.pass_days(number)
    repository.change(number, 40_000)
    attacked = [*repository.objects("data/")[:2], *repository.objects("index/")[:1], *repository.objects("snapshots/")[:1]]
    repository.backup(time=SystemClock(maintained.clock_file).now())
    if not attacked:
        return
    for key in attacked:
        repository.put(key, b"garbage")
    repository.hide(repository.objects("data/")[-1])
    name = hashlib.sha256(str(number).encode()).hexdigest()
    repository.put(f"data/{name[:2]}/{name}", b"junk")


def holds(maintained: Maintained, snapshots: list[str]) -> None:
    """Make sure that these are admitted and no others, that what stands is true, and that nothing is there which the ledger does not know."""
    repository, records = maintained.repository, maintained.fold().records
    admitted = {key for key, record in records.items() if record.state is State.ADMITTED}
    assert sorted(key for key in admitted if key.startswith("snapshots/")) == sorted(f"snapshots/{one}" for one in snapshots)
    standing = {key for key in repository.objects() if not key.startswith("maintainer/")}
    assert admitted <= standing <= set(records)
    for key in standing - admitted:
        assert records[key].state is State.DOOMED, key
        assert SystemClock(maintained.clock_file).now() - records[key].since < timedelta(days=3), key
    for key in standing - {"config"}:
        assert hashlib.sha256(repository.get(key)).hexdigest() == key.rpartition("/")[2], key


def is_tagged(maintained: Maintained) -> None:
    """Make sure that all which was ever released may expire, and nothing else."""
    repository = maintained.repository
    s3, place = repository.s3("admin"), {"Bucket": repository.sandbox.bucket}
    released = {(f"{repository.prefix}/{key}", one) for key, versions in maintained.fold().released.items() for one in versions}
    tagged = {
        (key, version)
        for key, version in repository.versions() - repository.markers()
        if s3.get_object_tagging(**place, Key=key, VersionId=version)["TagSet"]
    }
    assert tagged == released
    assert len(tagged) > LEAST


def numbers_of(rows: Rows, maintained: Maintained, when: When) -> Sequence[int]:
    """Return the writes to be killed at, and at the end one that no run comes to: one of each call and folder, or every one."""
    day(maintained, STEADY)
    status, writes = writes_of(maintained.job().encode())
    assert status in (0, 3)
    assert len(writes) > LEAST, "the runs do not do all that the matrix is about"
    return range(MOST) if rows.everything else [*rows.of(f"writes, {when}", range(len(writes)), lambda number: writes[number]), MOST]


@pytest.mark.long
@pytest.mark.matrix
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write(timed_sandbox: Sandbox, tmp_path: Path, when: When, rows: Rows) -> None:
    maintained = begun(timed_sandbox, tmp_path)
    repository = maintained.repository
    for number in range(STEADY):
        day(maintained, number)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
    kept = sum(1 for key in maintained.fold().having(State.ADMITTED) if key.startswith("snapshots/"))
    assert kept == 5
    for number, write in enumerate(numbers_of(rows, maintained, when)):
        day(maintained, STEADY + 1 + number)
        status = run_and_kill(maintained.job().encode(), write, when)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        holds(maintained, list(repository.trees)[-kept:])
        if status is not None:
            break
    assert status in (0, 3)
    ran = maintained.run()
    assert (ran.code, ran.named("object.healed"), ran.named("object.marked")) == (0, [], [])
    is_tagged(maintained)
    for snapshot in list(repository.trees)[-kept:]:
        repository.verify(snapshot)
    assert repository.restic("check", "--read-data").returncode == 0


@pytest.mark.matrix
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_write_of_first_contact(timed_sandbox: Sandbox, tmp_path: Path, when: When) -> None:
    for number in range(MOST):
        maintained = begun(timed_sandbox, tmp_path / str(number))
        repository = maintained.repository
        day(maintained, 0)
        repository.put(repository.objects("data/")[0], b"garbage")
        status = run_and_kill(maintained.job().encode(), number, when)
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        holds(maintained, list(repository.trees))
        assert not maintained.state.chains().altered
        if status is not None:
            break
    assert status in (0, 3)
    assert number > LEAST_AT_FIRST
    for snapshot in repository.trees:
        repository.verify(snapshot)
