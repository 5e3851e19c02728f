"""Nothing that a host writes makes the ledger, a finding or an event too large to be written and read."""

from __future__ import annotations

from pathlib import Path

import pytest

from maintainer.core.events import encode
from maintainer.core.job import Keep
from maintainer.drill import forge
from maintainer.drill.lies import newest
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_lies import Guarded, guarded

LONGEST_LINE = 20_000
LONGEST_ENTRY = 4 << 20


def put_snapshots(one: Guarded, number: int, *, host: str = "", paths: tuple[str, ...] = (), **more: object) -> None:
    """Put copies of the newest snapshot that say so of themselves."""
    repository = one.repository
    key, tree = repository.master_key(), newest(repository).tree
    for copy in range(number):
        raw = {"tags": [str(copy)], **more}
        made = forge.snapshot(key, time=one.now, host=host or repository.host, paths=paths or repository.paths, tree=tree, more=raw)
        repository.put(made.key, made.body)


LONG = "x" * 5_000_000


@pytest.mark.matrix(kind=lambda number, say: "host" if "host" in say else "paths" if "paths" in say else "tags")
@pytest.mark.parametrize(
    ("number", "say"),
    [
        (6, {"paths": (LONG,)}),
        (3, {"host": LONG}),
        (2, {"paths": tuple(f"/{number}" for number in range(300_000))}),
        (2, {"tags": [LONG]}),
        (2, {"tags": ["a"] * 300_000, "excludes": ["*"] * 300_000}),
    ],
    ids=["paths of five million letters", "a host of five million letters", "300,000 paths", "a long tag", "300,000 tags and excludes"],
)
def test_texts_of_megabytes_are_told_in_a_line(timed_sandbox: Sandbox, tmp_path: Path, number: int, say: dict[str, object]) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    put_snapshots(one, number, **say)  # type: ignore[arg-type]
    ran = one.maintained.run()
    kinds = set(ran.findings())
    assert (ran.code, kinds <= {"suspect-snapshot"}) == (3 if kinds else 0, True), ran.why()
    assert bool(kinds) == (not {"tags", "excludes"} & say.keys())
    assert max(len(encode(event)) for event in ran.events) < LONGEST_LINE
    assert max(map(len, one.maintained.state.chains().entries)) < LONGEST_ENTRY
    again = one.maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    one.prove_whole()


def test_very_many_hosts_are_a_first_report_that_can_be_accepted(timed_sandbox: Sandbox, tmp_path: Path) -> None:
    one = guarded(timed_sandbox, tmp_path, Keep(last=4))
    one.maintained.expect = ()
    for number in range(150):
        put_snapshots(one, 1, host=f"{number}" * 200)
    ran = one.maintained.run()
    assert ran.code == 3, ran.why()
    assert max(len(encode(event)) for event in ran.events) < LONGEST_LINE
    one.maintained.accept()
    ran = one.maintained.run()
    assert ran.code in (0, 3), ran.why()
    one.prove_whole()
