"""The state store on the real endpoint: conditional puts decide who commits, and the oldest version of an entry counts."""

from __future__ import annotations

import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from maintainer.core.entries import GENESIS, Entry
from maintainer.core.errors import ConcurrentRunError, LedgerError, UnsafeStoreError
from maintainer.core.job import Place
from maintainer.core.ledger import fold
from maintainer.core.records import Record, RecordsInMemory, State
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.edges import statestore
from maintainer.edges.clock import SystemClock
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import StateStore, new_run_id
from maintainer.sandbox import daemon, processes
from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import access, client
from tests.support.fakestore import WHEN

AT = "2026-01-01T00:00:00.000000Z"


@pytest.fixture
def state(sandbox: Sandbox) -> StateStore:
    return StateStore(S3(access(sandbox)), Place(sandbox.state_bucket, f"test/{uuid.uuid4().hex}", sandbox.endpoint))


def first(run: str) -> Entry:
    return Entry(0, GENESIS, "first", run, AT, "web")


def test_the_second_of_two_runs_to_commit_ends_and_a_repeat_of_the_first_is_done(state: StateStore) -> None:
    state.append_entry(first("a"))
    state.append_entry(first("a"))
    with pytest.raises(ConcurrentRunError):
        state.append_entry(first("b"))
    assert fold(state.chains().entries, []).head[0] == 1


def test_an_entry_that_was_put_over_is_read_as_first_written_and_told(state: StateStore, sandbox: Sandbox) -> None:
    state.append_entry(first("a"))
    client(sandbox, "admin").put_object(Bucket=sandbox.state_bucket, Key=f"{state._root}ledger/00000000", Body=b"forged")
    chains = state.chains()
    assert [*chains.entries] == [first("a").encode()]
    assert chains.altered == ("ledger/00000000",)


def test_judgements_form_a_chain_of_their_own(state: StateStore) -> None:
    for action in ("undelete", "ack"):
        state.append_judgement(action, ["x"], who="ann", at=AT)
    assert fold([], state.chains().judgements).judgements == 2


def test_a_run_names_what_it_is_about_to_put(state: StateStore) -> None:
    run = new_run_id("2026-01-02T03:04:05.000000Z")
    state.start_run(run)
    file = RepositoryFile(FileType.PACK, "0" * 64)
    state.announce(run)(file)
    assert state.runs() == {run: (file,)}
    assert run.startswith("20260102T030405Z-")


def test_a_store_that_ignores_conditional_puts_is_refused(state: StateStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state.probe()
    state.probe()
    start = processes.start
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(processes, "start", lambda _, *rest: start("tests.support.careless", *rest))
    clock = SystemClock()
    try:
        careless = daemon.start(tmp_path / "careless", clock, daemon.Wanted(machines=False))
        with pytest.raises(UnsafeStoreError, match="ignores"):
            StateStore(S3(access(careless)), Place(careless.state_bucket, "test", careless.endpoint)).probe()
    finally:
        daemon.stop(tmp_path / "careless", clock)


def test_what_is_too_much_for_an_entry_is_kept_beside_it(state: StateStore, sandbox: Sandbox) -> None:
    records = RecordsInMemory({f"data/{n:05d}": Record(State.ADMITTED, f"v{n}", n, WHEN, WHEN) for n in range(30_000)})
    named = state.put_segments(records.texts())
    assert named == state.put_segments(records.texts())  # as a run does whose answer was lost
    state.append_entry(replace(first("a"), segments=named))
    names = [one.name for one in named]
    known = state.ledger().fold.records
    assert (len(known), known["data/29999"]) == (30_000, records["data/29999"])
    over = client(sandbox, "admin")
    over.put_object(Bucket=sandbox.state_bucket, Key=f"{state._root}segments/{names[0]}", Body=b"junk")
    assert len(state.ledger().fold.records) == 30_000  # the oldest version counts
    for one in over.list_object_versions(Bucket=sandbox.state_bucket, Prefix=f"{state._root}segments/{names[0]}")["Versions"]:
        over.delete_object(Bucket=sandbox.state_bucket, Key=one["Key"], VersionId=one["VersionId"])
    with pytest.raises(LedgerError, match=f"segment {names[0]} is missing"):
        state.ledger()


def test_an_entry_that_could_not_be_read_again_is_not_put(state: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statestore, "LONGEST_ENTRY", 100)
    with pytest.raises(LedgerError, match="could never be read"):
        state.append_entry(first("a"))
    assert not state.has_entry(0)
