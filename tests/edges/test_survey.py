"""Surveys in parallel: all of it, once, in order, whatever is listed by whom, and what fails."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintainer.core.errors import StoreError, UnsafeStoreError
from maintainer.edges.survey import survey
from maintainer.edges.versionlist import Page, Row, write_lines
from tests.support.pagedstore import MADE, PagedStore

FIRST = ("snapshots/", "index/")
STRANGE = [
    "config",
    "data/",
    "data/zz",
    "index",
    "index0",
    "indexes/a",
    "k",
    "maintainer/aa",
    "snapshots",
    "snapshots/~a",
    "index/ä",
    "ä",
    "zz",
]


def repository(seed: int, many: int) -> list[Row]:
    rng = random.Random(seed)
    names = [f"{kind}/{name[:2]}/{name}" if kind == "data" else f"{kind}/{name}" for kind, name in _names(rng, many)]
    names += rng.sample(STRANGE, rng.randrange(len(STRANGE)))
    rows: list[Row] = []
    for name in sorted({f"web/{name}".encode() for name in names}):
        rows += [(name, b"v%d" % n, rng.choice([b"", b"1", b"17"]), MADE) for n in range(rng.choice([1, 1, 1, 2, 9]))]
    return rows


def _names(rng: random.Random, many: int) -> list[tuple[str, str]]:
    return [(rng.choice(["data"] * 8 + ["index", "snapshots", "keys", "locks"]), f"{rng.getrandbits(64):016x}") for _ in range(many)]


class Whole:
    """A store with other prefixes beside the repository's own."""

    def __init__(self, rows: list[Row], size: int, *, inclusive: bool = False, loses: bool = False) -> None:
        self.rows = [(b"weaa", b"v", b"1", MADE), *rows, (b"web0", b"v", b"1", MADE)]
        self.size, self.inclusive, self.loses = size, inclusive, loses
        self.asked: list[tuple[str, str]] = []

    def ask(self, prefix: str, key: str, version_id: str) -> Page:
        self.asked.append((prefix, key))
        rows = [row for row in self.rows if row[0].startswith(prefix.encode())]
        return PagedStore(rows, self.size, inclusive=self.inclusive, loses=self.loses).ask(key, version_id)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400), st.integers(1, 40), st.integers(1, 8), st.booleans())
def test_everything_is_listed_once_and_in_order(seed: int, many: int, size: int, workers: int, inclusive: bool) -> None:
    rows = repository(seed, many)
    made = survey(Whole(rows, size, inclusive=inclusive).ask, "web/", Path("/var/tmp"), FIRST, workers)
    found = [
        (f"web/{v.key}".encode(), v.version_id.encode(), b"" if v.is_marker else b"%d" % v.size, MADE)
        for h in made.values()
        for v in h.versions
    ]
    assert found == rows
    assert (made.versions, len(made)) == (len(rows), len({row[0] for row in rows}))
    made.close()


def test_a_small_repository_takes_a_request_for_each_part() -> None:
    store = Whole(repository(1, 100), 1000)
    survey(store.ask, "web/", Path("/var/tmp"), FIRST).close()
    assert [prefix for prefix, _ in store.asked] == ["web/snapshots/", "web/index/", "web/"]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 400), st.integers(1, 40), st.integers(1, 8))
def test_a_store_that_loses_what_follows_a_marker_is_refused_or_all_is_listed(seed: int, many: int, size: int, workers: int) -> None:
    rows = repository(seed, many)
    try:
        made = survey(Whole(rows, size, loses=True).ask, "web/", Path("/var/tmp"), FIRST, workers)
    except UnsafeStoreError:
        return
    assert [v.version_id.encode() for h in made.values() for v in h.versions] == [row[1] for row in rows]
    made.close()


def test_a_store_that_loses_what_follows_a_marker_is_refused() -> None:
    with pytest.raises(UnsafeStoreError, match="loses some"):
        survey(Whole(repository(3, 400), 25, loses=True).ask, "web/", Path("/var/tmp"), FIRST)


def test_a_large_one_is_listed_by_all_workers() -> None:
    store = Whole(repository(2, 2000), 25)

    def ask(prefix: str, key: str, version_id: str) -> Page:
        threading.Event().wait(0.002)
        if prefix == "web/":
            threads.add(threading.get_ident())
        return store.ask(prefix, key, version_id)

    threads: set[int] = set()
    survey(ask, "web/", Path("/var/tmp"), FIRST, workers=4).close()
    assert len(threads) == 4
    assert len(store.asked) < 2 * len(store.rows) / 25


def test_what_appears_in_a_folder_after_it_was_listed_is_left_out() -> None:
    rows = repository(3, 300)
    store = Whole(rows, 20)
    late = (b"web/snapshots/zz", b"v", b"1", MADE)

    def ask(prefix: str, key: str, version_id: str) -> Page:
        if prefix == "web/index/" and late not in store.rows:
            store.rows = sorted([*store.rows, late], key=lambda row: row[0])
        return store.ask(prefix, key, version_id)

    made = survey(ask, "web/", Path("/var/tmp"), FIRST)
    assert made.versions == len(rows)
    assert "snapshots/zz" not in made
    made.close()


def test_a_key_with_a_hundred_thousand_versions_between_others() -> None:
    rows: list[Row] = [(b"web/data/00/a", b"v", b"1", MADE), *((b"web/data/00/b", b"v%d" % n, b"1", MADE) for n in range(100_000))]
    rows.append((b"web/data/00/c", b"v", b"1", MADE))
    by_id = {row[1]: number for number, row in enumerate(rows[1:-1], 1)}

    def ask(prefix: str, key: str, version_id: str) -> Page:
        at = by_id[version_id.encode()] + 1 if version_id else next((n for n, row in enumerate(rows) if row[0] > key.encode()), len(rows))
        found = [row for row in rows[at : at + 1000] if row[0].startswith(prefix.encode())]
        more = bool(found) and at + 1000 < len(rows)
        return Page(found, write_lines(found), more, found[-1][0].decode() if more else "", found[-1][1].decode() if more else "")

    made = survey(ask, "web/", Path("/var/tmp"))
    assert [(history.key, len(history.versions)) for history in made.values()] == [
        ("data/00/a", 1),
        ("data/00/b", 100_000),
        ("data/00/c", 1),
    ]
    versions = made["data/00/b"].versions
    assert [versions[n].version_id for n in (0, 999, 1000, 99_999)] == ["v0", "v999", "v1000", "v99999"]
    assert [v.version_id for v in reversed(versions)][:2] == ["v99999", "v99998"]
    made.close()


def test_one_that_fails_ends_all() -> None:
    store = Whole(repository(4, 2000), 20)

    def ask(prefix: str, key: str, version_id: str) -> Page:
        if key > "web/data/c":
            raise StoreError("no", guidance="")
        return store.ask(prefix, key, version_id)

    with pytest.raises(StoreError, match="no"):
        survey(ask, "web/", Path("/var/tmp"), FIRST)
    assert len(store.asked) < 80


def test_writers_meanwhile_hide_nothing_that_was_there() -> None:
    """New versions come on top of keys, and new keys between, while pages are asked for."""
    rows = repository(5, 1000)
    store = Whole(rows, 10)
    rng, lock = random.Random(5), threading.Lock()

    def ask(prefix: str, key: str, version_id: str) -> Page:
        with lock:
            row = rng.choice(store.rows[1:-1])
            at = next(n for n, one in enumerate(store.rows) if one[0] == row[0])
            store.rows.insert(at, (row[0], b"new%d" % len(store.asked), b"", MADE))
            return store.ask(prefix, key, version_id)

    made = survey(ask, "web/", Path("/var/tmp"), FIRST)
    found = [(f"web/{v.key}".encode(), v.version_id.encode()) for history in made.values() for v in history.versions]
    old = [ref for ref in found if not ref[1].startswith(b"new")]
    assert old == [row[:2] for row in rows]
    assert len(set(found)) == len(found)
    made.close()
