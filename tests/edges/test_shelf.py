"""A shelf is a mapping like any other, in the order of its keys, whatever is done to it while it is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import DiskFullError
from maintainer.core.records import Record, RecordsInMemory, State
from maintainer.edges import shelf
from maintainer.edges.shelf import RecordShelf, Shelf
from tests.support.fakestore import WHEN

KEYS = st.sampled_from(["", "a", "a/", "a/1", "a/2", "b", "b/é", "b/\udcff", "c", "\udcff/x", "\U0001f600"])
DEEDS = st.lists(st.tuples(st.sampled_from(["put", "remove", "ask", "many"]), KEYS, st.integers(0, 9)), max_size=40)


def numbers() -> Shelf[int]:
    return Shelf(str, int, lambda number: "even" if number % 2 == 0 else "odd")


@given(DEEDS)
def test_it_holds_what_a_dict_would(deeds: list[tuple[str, str, int]]) -> None:
    shelved, known = numbers(), dict[str, int]()
    for deed, key, number in deeds:
        match deed:
            case "put":
                shelved[key] = known[key] = number
            case "remove":
                assert shelved.pop(key, None) == known.pop(key, None)
            case "many":
                more = {f"{key}{one}": one for one in range(number)}
                known |= more
                shelved.put_rows((one.encode(errors="surrogateescape"), "", str(n)) for one, n in more.items())
        assert (shelved.get(key), key in shelved, len(shelved)) == (known.get(key), key in known, len(known))
    assert list(shelved.items()) == sorted(known.items(), key=lambda item: item[0].encode(errors="surrogateescape"))
    shelved.close()


@given(st.lists(st.integers(0, 300), max_size=200), st.lists(st.integers(0, 300)))
def test_what_is_asked_for_in_any_order_is_found(there: list[int], asked: list[int]) -> None:
    shelved = numbers()
    shelved.put_rows((b"%06d" % number, "", str(number)) for number in there)
    for number in (*asked, *sorted(asked)):
        assert shelved.get(f"{number:06d}") == (number if number in there else None)
    shelved.close()


@pytest.mark.parametrize(("apart", "most"), [(1, 2), (2, 3), (500, 5)])
def test_what_is_read_ahead_is_of_use(apart: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shelved = numbers()
    shelved.put_rows((b"%06d" % number, "", str(number)) for number in range(100_000))
    asked: list[int] = []
    ask = shelved._ask

    def count(query: str, values: tuple[object, ...]) -> list[Any]:
        asked.append(len(rows := ask(query, values)))
        return rows

    monkeypatch.setattr(shelved, "_ask", count)
    wanted = range(0, 100_000, apart)
    assert [shelved[f"{number:06d}"] for number in wanted] == list(wanted)
    assert sum(asked) <= most * len(wanted)
    assert apart > 100 or len(asked) < len(wanted) / 100
    shelved.close()


def test_rows_are_chosen_by_prefix_and_tag_and_may_change_meanwhile() -> None:
    shelved = numbers()
    for number in range(3 * shelf.AHEAD):
        shelved[f"{'ab'[number % 2]}/{number:06d}"] = number
    assert [int(value) for _, _, value in shelved.rows("a/", "even")] == list(range(0, 3 * shelf.AHEAD, 2))
    assert list(shelved.rows("a/", "odd")) == list(shelved.rows("c/")) == []
    for key, _, value in shelved.rows():
        shelved[key.decode()] = int(value) + 1
    assert [int(value) for _, _, value in shelved.rows("b/")] == list(range(2, 3 * shelf.AHEAD + 1, 2))
    shelved.close()


def test_records_come_back_as_they_were_and_by_state() -> None:
    shelved, known = RecordShelf(), RecordsInMemory()
    for number, state in enumerate(State):
        record = Record(state, f"v{number}", number, WHEN, WHEN, "r", indexes=("1",), ours=True)
        shelved[f"data/{number}"] = known[f"data/{number}"] = record
    assert dict(shelved) == known
    for state in State:
        assert list(shelved.select("data/", state)) == list(known.select("data/", state))
        assert list(shelved.select("keys/", state)) == list(known.select("keys/", state)) == []
    shelved.close()


def test_much_lies_on_the_disk_and_under_no_name() -> None:
    before = peak()
    shelved = numbers()
    shelved.put_rows((b"%064d" % number, "", "9" * 200) for number in range(200_000))
    assert sum(1 for _ in shelved) == len(shelved) == 200_000
    assert peak() - before < 32_000  # KiB: it is some 60 MiB
    shelved.close()


def test_what_is_put_one_by_one_is_not_kept_in_memory() -> None:
    shelved = numbers()
    assert shelved.get("a") is None  # it knows now that there is nothing after this
    for number in range(5 * shelf.AHEAD):
        shelved[f"b{number}"] = number
        assert shelved.get(f"b{number}") == number
        assert len(shelved._ahead) <= shelf.AHEAD
    assert len(shelved) == 5 * shelf.AHEAD
    shelved.close()


def test_a_full_disk_is_told_as_that() -> None:
    shelved = numbers()
    shelved._base.execute("PRAGMA max_page_count = 3")
    with pytest.raises(DiskFullError, match="database or disk is full"):
        shelved.put_rows((b"%06d" % number, "", "9" * 200) for number in range(1_000))
    shelved.close()


def peak() -> int:
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])
