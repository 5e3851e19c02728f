"""Runs whose ledger lies in segments and bases, night after night: it says the same as without, and forgets what the bucket has no more."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.core import ledger as module
from maintainer.core import segments
from maintainer.core.entries import decode_entry
from maintainer.core.job import Keep
from maintainer.core.ledger import Ledger
from maintainer.core.records import RecordsInMemory, State
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained
from tests.support.buckets import client
from tests.support.repositories import Repository


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maintained:
    """A repository whose entries have two changes in themselves at most, three records in a segment, and a base after each few."""
    monkeypatch.setattr(segments, "INLINE", 2)
    monkeypatch.setattr(segments, "MOST", 3)
    monkeypatch.setattr(module, "LEAST_FOR_BASE", 4)
    repository = Repository(timed_sandbox, f"s-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    made = Maintained(repository, keep=Keep(last=1))
    made.limits["answer_s"] = 10 * 86_400
    made.expect_host()
    return made


def verified(maintained: Maintained) -> RecordsInMemory:
    """Return the records as all entries make them, each base compared; the same as those that a run reads."""
    chains = maintained.state.chains()
    whole = Ledger(RecordsInMemory(), chains.entries, chains.judgements, maintained.state.read_segments, verify=True).fold.records
    assert dict(whole) == dict(maintained.fold().records)
    return RecordsInMemory(whole)


def test_weeks_of_runs_with_bases(maintained: Maintained) -> None:
    repository = maintained.repository
    for week in range(5):
        maintained.pass_days(10 * week)
        repository.write("file", 200_000, week)
        newest = repository.backup()
        repository.put(repository.objects("data/")[0], b"overwritten")
        repository.put("index/" + f"{week:064x}", b"junk")
        assert maintained.run().code == 3
        verified(maintained)
    for day in (60, 70):
        maintained.pass_days(day)
        assert maintained.run().code == 0
    verified(maintained)
    entries = [decode_entry(body) for body in maintained.state.chains().entries]
    assert sum(bool(entry.base) for entry in entries) >= 2
    assert any(entry.segments for entry in entries)
    assert any(entry.released_in for entry in entries)
    assert any(entry.base_released for entry in entries)
    repository.verify(newest)

    let_go = [key for key, record in maintained.fold().records.items() if record.state in (State.DOOMED, State.EVICTED)]
    store = client(repository.sandbox, "admin")
    for key in let_go[:-1]:  # as a lifecycle rule does, in the end
        path = f"{repository.prefix}/{key}"
        listed = store.list_object_versions(Bucket=repository.sandbox.bucket, Prefix=path)
        for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
            store.delete_object(Bucket=repository.sandbox.bucket, Key=path, VersionId=one["VersionId"])
    for week in range(5, 8):
        maintained.pass_days(10 * week)
        repository.write("file", 200_000, week)
        newest = repository.backup()
        assert maintained.run().code in (0, 3)
    known = verified(maintained)
    assert not known.keys() & set(let_go[:-1])
    assert let_go[-1] in known
    repository.verify(newest)
