"""`read_data = "new"`: what was read at its version is not read again before its time, and nothing is committed that nothing has read."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from maintainer.agent import pipeline
from maintainer.agent.run import Opened, Run
from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.core.repofiles import FileType, RepositoryFile, parse_key
from maintainer.core.view import View
from maintainer.drill import forge
from maintainer.edges.viewserver import ViewServer
from maintainer.format.crypto import MasterKey
from maintainer.format.indexes import read_index
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained, Ran
from tests.support.repositories import Repository


@pytest.fixture
def maintained(timed_sandbox: Sandbox, tmp_path: Path) -> Maintained:
    """A repository whose checks read what is new, after a run that has read everything."""
    repository = Repository(timed_sandbox, f"r-{uuid.uuid4().hex[:12]}", tmp_path)
    repository.init()
    for seed in range(1, 4):
        repository.change(seed, 450_000)
        repository.backup()
    made = Maintained(repository, keep=Keep(last=1))
    made.limits |= {"read_data": "new", "reread_s": 40 * 86_400}
    made.expect_host()
    ran = made.run()
    assert ran.code == 0, ran.why()
    assert checked(ran)[0] == checked(ran)[2] > 0
    return made


def checked(ran: Ran) -> tuple[int, int, int, int]:
    (event,) = ran.named("check.finished")
    packs, size, of_packs, of_bytes = (int(str(event.fields[name])) for name in ("packs", "bytes", "of_packs", "of_bytes"))
    return packs, size, of_packs, of_bytes


def parse(key: str) -> RepositoryFile:
    file = parse_key(key)
    assert file is not None
    return file


def test_a_quiet_night_reads_nothing_and_a_night_with_a_backup_what_it_brought(maintained: Maintained) -> None:
    ran = maintained.run()
    assert (ran.code, checked(ran)[:2]) == (0, (0, 0))
    maintained.repository.write("more", 50_000, 9)
    before = set(maintained.repository.objects("data/"))
    maintained.repository.backup()
    new = set(maintained.repository.objects("data/")) - before
    ran = maintained.run()
    packs, size, of_packs, of_bytes = checked(ran)
    assert (ran.code, packs, of_packs) == (0, len(new), len(before | new))
    assert 50_000 < size < of_bytes / 10
    assert [(one.packs, one.is_whole) for one in maintained.fold().readings] == [(len(before), True), (0, False), (len(new), False)]


def test_when_its_time_has_come_everything_is_read_again(maintained: Maintained) -> None:
    maintained.keep = Keep(last=10)
    for days, is_whole in ((39, False), (41, True), (80, False), (82, True)):
        maintained.pass_days(days)
        packs, _, of_packs, _ = checked(maintained.run())
        assert (packs == of_packs) == is_whole, days
    assert [one.is_whole for one in maintained.fold().readings] == [True]


def test_what_was_healed_and_what_restic_wrote_is_read_where_it_now_stands(maintained: Maintained) -> None:
    repository = maintained.repository
    old = set(repository.objects("data/"))
    repository.write("more", 50_000, 9)
    repository.backup()
    maintained.run()
    attacked = min(set(repository.objects("data/")) - old)
    maintained.pass_days(15)
    repository.put(attacked, b"garbage")
    before = maintained.fold().records
    ran = maintained.run()
    assert ran.code == 3, ran.why()
    after = maintained.fold().having(State.ADMITTED)
    read = {
        key for key, record in after.items() if key.startswith("data/") and (key not in before or before[key].version != record.version)
    }
    assert attacked in read
    assert any(after[key].ours for key in read)
    packs, _, of_packs, _ = checked(ran)
    assert (packs, of_packs) == (len(read), sum(1 for key in after if key.startswith("data/")))
    ran = maintained.run()
    assert (ran.code, checked(ran)[0]) == (0, 0)


def spoil_pack(run: Run, view: View) -> None:
    key = next(key for key in view.written if key.startswith("data/"))
    view.wrote(parse(key), run.store.put(key, bytes(view.written[key].size)))


def spoil_index(run: Run, view: View, master: MasterKey) -> None:
    """Let an index that was written place two blobs of a pack where the other is: its structure stays sound."""
    key = next(key for key, _ in view.standing() if key.startswith("index/") and key in view.written)
    packs = dict(read_index(master, run.store.read(view.written[key], 1 << 20)))
    written = next(
        pack for pack, blobs in packs.items() if f"data/{pack[:2]}/{pack}" in view.written and blobs[1:] and blobs[0][1] == "data"
    )
    one, other, *rest = packs[written]
    packs[written] = ((other[0], *one[1:]), (one[0], *other[1:]), *rest)
    names = ("id", "type", "offset", "length", "uncompressed_length")
    raw = [{"id": pack, "blobs": [dict(zip(names, blob, strict=True)) for blob in blobs]} for pack, blobs in packs.items()]
    spoilt = forge.forged(FileType.INDEX, forge.seal(master, forge.compact({"packs": raw})))
    view.delete(parse(key))
    view.wrote(parse(spoilt.key), run.store.put(spoilt.key, spoilt.body))


@pytest.mark.parametrize("read_data", ["new", "always"])
@pytest.mark.parametrize(("what", "why"), [("a pack", "its header can not be read"), ("an index", "says what is not so")])
def test_what_goes_wrong_while_restic_writes_is_found_before_the_commit(
    maintained: Maintained, what: str, why: str, read_data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by the check that follows one before the prune, which has read all that was there then."""
    repository = maintained.repository
    maintained.limits |= {"read_data": read_data}
    maintained.pass_days(15)

    def spoilt_prune(run: Run, server: ViewServer, opened: Opened, work: pipeline.Work) -> None:
        prune(run, server, opened, work)
        if what == "a pack":
            spoil_pack(run, work.view)
        else:
            spoil_index(run, work.view, opened.master)

    prune = pipeline.prune
    monkeypatch.setattr(pipeline, "prune", spoilt_prune)
    commits = len(maintained.fold().commits)
    for order in ("", "before the prune"):
        ran = maintained.run()
        assert ran.code == 4
        assert "check --read-data failed" in ran.why()
        assert why in ran.why() or (read_data, order) == ("always", "")  # there restic's own check says it, in its own words
        assert [event.fields["order"] for event in ran.named("check.finished")] == ([order] if order else [])
        assert len(maintained.fold().commits) == commits
    monkeypatch.undo()
    ran = maintained.run()
    assert ran.code in (0, 3), ran.why()
    for snapshot in list(repository.trees)[-1:]:
        repository.verify(snapshot)
