"""What lies in the state store and is none of ours stops nothing, dooms nothing, and is told: nobody may delete it there."""

from __future__ import annotations

import json

import pytest

from maintainer.core.entries import Judgement
from maintainer.core.moments import to_text
from maintainer.core.records import State
from tests.support.agents import Maintained
from tests.support.fakestore import WHEN

NAMES = [
    "runs/z/written/evil-1",
    "runs/z/written/data-",
    "runs/z",
    "runs//started",
    "runs/\x1b]0;title\x07/started",
    "runs/20260101T000000Z-abcdef/elsewhere",
    "ledger/zzz",
    "ledger/00000001/more",
    "ledger/99999999x",
    "judgements/last",
]


def put(maintained: Maintained, name: str, body: bytes = b"") -> None:
    sandbox = maintained.repository.sandbox
    maintained.repository.s3("admin").put_object(Bucket=sandbox.state_bucket, Key=f"{maintained.state._root}{name}", Body=body)


def test_a_name_that_is_none_of_ours_stops_no_run(maintained: Maintained) -> None:
    for name in NAMES:
        put(maintained, name)
    ran = maintained.run()
    assert (ran.code, set(ran.findings())) == (3, {"foreign-state"}), ran.why()
    assert len(ran.findings()) == len(NAMES)
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    assert len(again.findings("open")) == len(NAMES)


@pytest.mark.parametrize("body", [b"", b"\xff\x1b[2J", b"{}", b"[]", b'{"v":1}', json.dumps("x" * 1000).encode()])
def test_a_judgement_that_nobody_can_read_decides_nothing_and_the_next_one_does(maintained: Maintained, body: bytes) -> None:
    put(maintained, "judgements/00000000", body)
    (snapshot,) = maintained.repository.objects("snapshots/")
    maintained.judge("endorse", snapshot)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["foreign-state"]), ran.why()
    assert maintained.fold().endorsed == {snapshot}
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()


def test_a_judgement_that_does_not_follow_is_told_from_one_that_nobody_can_read(maintained: Maintained) -> None:
    put(maintained, "judgements/00000000", Judgement(0, "1" * 64, to_text(WHEN), "ann", "ack", ()).encode())
    ran = maintained.run()
    assert ran.code == 4
    assert "judgement 0 does not follow" in ran.why()


def test_an_announcement_dooms_no_snapshot_of_a_host(maintained: Maintained) -> None:
    repository = maintained.repository
    repository.write("file2", 30_000, 2)
    snapshot = repository.backup()
    put(maintained, f"runs/20260101T000000Z-abcdef/written/snapshots-{snapshot}")
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert maintained.fold().records[f"snapshots/{snapshot}"].state is State.ADMITTED
    repository.verify(snapshot)
