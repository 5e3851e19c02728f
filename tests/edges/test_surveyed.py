"""A survey on disk says the same as one in memory, whatever the blocks, the keys and what was put on top."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.versions import KeyHistory, ObjectVersion
from maintainer.edges import surveyed
from maintainer.edges.surveyed import Surveyed
from maintainer.edges.versionlist import Row, write_lines

MADE = b"2026-11-28T00:47:37Z"
WHEN = datetime(2026, 11, 28, 0, 47, 37, tzinfo=UTC)


@contextmanager
def written(rows: list[Row], block: int) -> Iterator[Surveyed]:
    with tempfile.TemporaryDirectory() as folder:
        made = Surveyed(Path(folder), "web/ä/")
        parts = [rows[at : at + block] for at in range(0, len(rows), block)]
        blocks = [made.write(part[0][0], write_lines(part), len(part)) for part in reversed(parts)]
        made.take(blocks[::-1], len({row[0] for row in rows}))
        assert not list(Path(folder).iterdir())
        yield made
        made.close()


def version(key: str, version_id: str, size: int | None) -> ObjectVersion:
    return ObjectVersion(key, version_id, size is None, size or 0, WHEN)


KEYS = st.one_of(st.sampled_from(["config", "data/00/aa", "data/00/ab", "index/a%41", "ä\n", "z"]), st.text(max_size=4))
LISTED = st.dictionaries(KEYS, st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=9), max_size=9)


@given(LISTED, st.integers(1, 5), st.lists(st.tuples(KEYS, st.booleans()), max_size=5), st.sampled_from([2, 2000]))
def test_it_says_what_was_listed(listed: dict[str, list[int | None]], block: int, since: list[tuple[str, bool]], many: int) -> None:
    in_order = sorted(listed.items(), key=lambda one: one[0].encode(errors="surrogatepass"))
    want = {key: [version(key, f"v{n}", size) for n, size in enumerate(sizes)] for key, sizes in in_order}
    rows = [
        (f"web/ä/{v.key}".encode(), v.version_id.encode(), b"" if v.is_marker else b"%d" % v.size, MADE) for vs in want.values() for v in vs
    ]
    with pytest.MonkeyPatch.context() as patch, written(rows, block) as made:
        patch.setattr(surveyed, "MANY", many)
        assert made.versions == len(rows)
        for number, (key, is_marker) in enumerate(since):
            one = version(key, f"since{number}", None if is_marker else 1)
            want.setdefault(key, []).insert(0, one)
            made.put_on_top(one)
        assert {key: list(made[key].versions) for key in want} == want
        assert [(history.key, [*history.versions]) for history in made.histories()] == list(want.items())
        assert [[*reversed(history.versions)] for history in made.values()] == [vs[::-1] for vs in want.values()]
        assert list(made) == list(want)
        assert len(made) == len(want)
        for prefix in ("data/", "data/00/ab", "", "nothing"):
            assert [history.key for history in made.histories(prefix)] == [key for key in want if key.startswith(prefix)]
        assert made.get("nothing of that name") is None


def test_a_key_with_many_versions_is_read_when_it_is_asked_for() -> None:
    rows: list[Row] = [(b"web/\xc3\xa4/k", b"v%d" % n, b"1", MADE) for n in range(5000)]
    with written(rows, 1000) as made:
        history = made["k"]
        assert isinstance(history.versions, surveyed.Versions)
        assert (history.current.version_id, history.versions[-1].version_id, len(history.versions)) == ("v0", "v4999", 5000)
        assert [v.version_id for v in history.versions[998:1002]] == ["v998", "v999", "v1000", "v1001"]
        with pytest.raises(IndexError):
            history.versions[5000]


def test_an_empty_one() -> None:
    with written([], 1) as made:
        assert (len(made), list(made), list(made.histories("data/"))) == (0, [], [])


def test_it_groups_like_a_listing() -> None:
    rows: list[Row] = [(b"web/\xc3\xa4/k%03d" % (n // 3), b"v%d" % n, b"1", MADE) for n in range(300)]
    with written(rows, 7) as made:
        want = [
            KeyHistory(key, tuple(vs)) for key, vs in groupby([version(f"k{n // 3:03}", f"v{n}", 1) for n in range(300)], lambda v: v.key)
        ]
        assert list(made.histories()) == want
