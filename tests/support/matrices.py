"""A pytest plugin: a matrix of tests runs a row of each kind, chosen by a seed; `--all` runs every row.

A test is a matrix if it is marked `@pytest.mark.matrix`, with `kind=` a function of its parameters that says which rows prove the
same thing. Without `kind` all its rows are of one kind. Tests that are marked with the same `name=` are one matrix.

The default run takes one row of each kind. The seed is the day of HEAD's commit, so that one commit runs the same rows everywhere, and
another day others. `--seventh` also runs a seventh of the other rows: of seven consecutive seeds each takes another one.

A test that goes through a matrix in a loop of its own asks the fixture `rows` for what to go through.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TypeVar

import pytest

Row = TypeVar("Row")
PARTS = 7


@dataclass(frozen=True)
class Rows:
    """Which rows of a matrix a run takes."""

    seed: int
    everything: bool = False
    seventh: bool = False

    def of(self, name: str, rows: Iterable[Row], kind: Callable[[Row], object] = lambda _: None) -> list[Row]:
        """Return a row of each kind, in their order; all of them, or some more, where the command line says so. `name` is the matrix's."""
        rows = list(rows)
        kinds: defaultdict[str, list[int]] = defaultdict(list)
        for number, row in enumerate(rows):
            kinds[repr(kind(row))].append(number)
        chosen = {random.Random(f"{self.seed} {name} {kind}").choice(numbers) for kind, numbers in kinds.items()}
        return [row for number, row in enumerate(rows) if number in chosen or self._is_more(f"{name} {number}")]

    def _is_more(self, row: str) -> bool:
        return self.everything or (self.seventh and (zlib.crc32(row.encode()) + self.seed) % PARTS == 0)


def day_of_head() -> int:
    """Return the day of HEAD's commit, counted from the year 1; where there is no repository, the day of this checkout's last change."""
    here = Path(__file__).parent
    if shutil.which("git") is None:
        return _day_of(here)
    said = subprocess.run(
        ["git", "show", "-s", "--format=%cs", "HEAD"], cwd=here, capture_output=True, text=True, check=False
    ).stdout.strip()
    return date.fromisoformat(said).toordinal() if said else _day_of(here)


def _day_of(path: Path) -> int:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).date().toordinal()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say which rows."""
    group = parser.getgroup("matrices")
    group.addoption("--all", action="store_true", dest="every_row", help="run every row of every matrix, not one of each kind")
    group.addoption("--seventh", action="store_true", help="beside a row of each kind run a seventh of the others")
    group.addoption("--some", type=int, default=0, help="of all tests that were named run so many, chosen by the seed")
    group.addoption("--seed", type=int, default=None, help="choose the rows by this number (default: the day of HEAD's commit)")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed here, before workers are started: they are given the options."""
    config.addinivalue_line("markers", "matrix(kind=None, name=): a run takes one row of each kind; see tests/support/matrices.py")
    if config.option.seed is None:
        config.option.seed = day_of_head()
    # Who names a test by its id wants that test.
    config.option.every_row = config.option.every_row or any("::" in word for word in config.invocation_params.args)


def rows_of(config: pytest.Config) -> Rows:
    """Return what the command line says."""
    return Rows(config.option.seed, config.option.every_row, config.option.seventh)


@pytest.fixture(scope="session")
def rows(pytestconfig: pytest.Config) -> Rows:
    """Which rows a test's own matrix goes through."""
    return rows_of(pytestconfig)


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to repeat the run."""
    taken = rows_of(config)
    what = "every row" if taken.everything else "a row of each kind" + (" and a seventh of the others" if taken.seventh else "")
    return f"matrices: {what}; --seed {taken.seed}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the rows that are not chosen."""
    matrices: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if marker := item.get_closest_marker("matrix"):
            matrices[marker.kwargs.get("name", item.nodeid.partition("[")[0])].append(item)
    taken = {item for name, rows in matrices.items() for item in rows_of(config).of(name, rows, _kind)}
    left = [item for rows in matrices.values() for item in rows if item not in taken]
    if some := config.option.some:
        kept = [item for item in items if item not in set(left)]
        chosen = set(random.Random(config.option.seed).sample(kept, min(some, len(kept))))
        left += [item for item in kept if item not in chosen]
    if left:
        items[:] = [item for item in items if item not in set(left)]
        config.hook.pytest_deselected(items=left)
    config.stash[LEFT_OUT] = [item.nodeid for item in left]


LEFT_OUT = pytest.StashKey[Sequence[str]]()


def _kind(item: pytest.Item) -> object:
    """Return the kind of a row; the parameters that a kind is a function of come by their names."""
    marker = item.get_closest_marker("matrix")
    assert marker is not None
    assert isinstance(item, pytest.Function)
    kind = marker.kwargs.get("kind")
    return kind(**item.callspec.params) if kind else None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over from a worker which rows it left out: all leave out the same."""
    output = getattr(node, "workeroutput", {})
    node.config.stash[LEFT_OUT] = output.get("left_out", [])  # type: ignore[attr-defined]  # xdist's WorkerController


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the controller which rows this worker left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Count what was left out: nothing is left out silently."""
    left = config.stash.get(LEFT_OUT, [])
    if not left:
        return
    counts: defaultdict[str, int] = defaultdict(int)
    for name in left:
        counts[name.partition("[")[0]] += 1
    terminalreporter.write_sep("=", f"left out: {len(left)} rows of {len(counts)} tests; --all runs them")
    for name, count in counts.items():
        terminalreporter.write_line(f"{count:5d}  {name}")
