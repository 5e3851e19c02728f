"""Snapshots that lack something: any number of them costs restic what one of them costs, and each is whole once what it lacked has come."""

from __future__ import annotations

import os
from datetime import datetime, timedelta

import pytest

from maintainer.agent.run import Run
from maintainer.drill import forge, lies
from maintainer.drill.target import Target, put_all
from maintainer.edges.clock import SystemClock
from maintainer.edges.restic import Outcome
from tests.support.agents import Maintained


class Asked:
    """How often restic was asked anything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        ask = Run.ask

        def counted(run: Run, *given: object, **named: object) -> Outcome:
            self.times += 1
            return ask(run, *given, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Run, "ask", counted)

    def by(self, maintained: Maintained) -> int:
        self.times = 0
        ran = maintained.run()
        assert ran.code in (0, 3), ran.why()
        return self.times


def snapshot_of(target: Target, nodes: list[dict[str, object]], now: datetime) -> None:
    """Put a snapshot of a tree of its own."""
    body = forge.tree([*nodes, {"name": os.urandom(8).hex(), "type": "symlink", "mode": 0o777, "linktarget": "x"}])
    pack = forge.pack(target.master_key(), [("tree", body, "")])
    put_all(target, pack, forge.index(target.master_key(), {pack.id: pack.blobs}))
    put_all(target, forge.snapshot(target.master_key(), time=now, host=target.host, paths=target.paths, tree=pack.blobs[0].id))


def flood(target: Target, number: int, now: datetime) -> None:
    """Put as many of each kind: without a tree, with a tree that names an absent tree, and with one that names an absent blob."""
    for one in range(number):
        at = now + timedelta(seconds=one)
        for_tree = forge.snapshot(target.master_key(), time=at, host=target.host, paths=target.paths, tree=os.urandom(32).hex())
        put_all(target, for_tree)
        true = {"name": "true", "type": "dir", "mode": 0o755, "subtree": lies.newest(target).tree}
        snapshot_of(target, [true, {"name": "a", "type": "dir", "mode": 0o755, "subtree": os.urandom(32).hex()}], at)
        snapshot_of(target, [true, {"name": "b", "type": "file", "mode": 0o644, "size": 1, "content": [os.urandom(32).hex()]}], at)


def test_a_flood_of_them_costs_restic_no_more_than_a_few(maintained: Maintained, monkeypatch: pytest.MonkeyPatch) -> None:
    repository, asked = maintained.repository, Asked(monkeypatch)
    now = SystemClock(maintained.clock_file).now()
    costs = []
    for number in (1, 1, 12):  # the first leaves packs that prune dooms: what is doomed is looked into from then on
        flood(repository, number, now)
        first = asked.by(maintained)
        repository.tolerated = (0, 3)  # restic tells of what it can not read of others'
        repository.write("file2", 50_000, number)
        repository.backup()
        costs.append((first, asked.by(maintained)))
    assert costs[2] == costs[1]
    ran = maintained.run()
    told = [event.fields for event in ran.named("finding.reported") if event.fields["kind"] == "incomplete-snapshot"]
    assert len(told) == 42
    assert all(str(one["detail"]).startswith("lacks blob ") for one in told)


@pytest.mark.parametrize("tree", ["zz" * 32, "", "ab" * 31, "ab" * 33, "\u00e9" * 64])
def test_one_whose_tree_is_no_id_stops_no_run(maintained: Maintained, tree: str) -> None:
    repository = maintained.repository
    now = SystemClock(maintained.clock_file).now()
    put_all(repository, forge.snapshot(repository.master_key(), time=now, host="web1", paths=repository.paths, tree=tree))
    snapshot_of(repository, [{"name": "b", "type": "file", "mode": 0o644, "size": 1, "content": [os.urandom(32).hex()]}], now)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"garbage", "incomplete-snapshot"}), ran.why()
    assert maintained.run().code == 0


def test_one_is_whole_once_what_it_lacked_has_come(maintained: Maintained, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the one of two blobs that it lacks, then the other."""
    repository = maintained.repository
    contents = [os.urandom(5000), os.urandom(6000)]
    packs = [forge.pack(repository.master_key(), [("data", content, "")]) for content in contents]
    node = {"name": "a", "type": "file", "mode": 0o644, "size": 11_000, "content": [pack.blobs[0].id for pack in packs]}
    snapshot_of(repository, [node], SystemClock(maintained.clock_file).now())
    assert maintained.run().findings() == ["incomplete-snapshot"]
    for pack, left in zip(packs, (1, 0), strict=True):
        put_all(repository, pack, forge.index(repository.master_key(), {pack.id: pack.blobs}))
        ran = maintained.run()
        assert len(ran.named("snapshot.incomplete")) == left, ran.why()
    assert maintained.run().code == 0
    repository.restic("check", "--read-data", "--no-lock")


def test_what_restic_alone_finds_wrong_it_is_asked_about_again_a_few_at_a_time(
    maintained: Maintained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without a subtree: nothing is lacking that could come."""
    repository, asked = maintained.repository, Asked(monkeypatch)
    now = SystemClock(maintained.clock_file).now()
    for number in range(9):
        snapshot_of(repository, [{"name": "a", "type": "folder", "mode": 0o755}], now + timedelta(seconds=number))
    first = asked.by(maintained)
    repository.tolerated = (0, 3)
    repository.write("file2", 50_000, 2)
    repository.backup()
    again = asked.by(maintained)
    assert again < first
