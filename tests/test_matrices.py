"""A run takes a row of each kind, the same for one seed everywhere; seven consecutive seeds take every row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.matrices import PARTS, Rows

TABLE = st.lists(st.tuples(st.integers(0, 5), st.integers()), max_size=60, unique=True)
SEEDS = st.integers(0, 10**6)


def kind(row: tuple[int, int]) -> int:
    return row[0]


@given(TABLE, SEEDS)
def test_there_is_one_row_of_each_kind_in_their_order(table: list[tuple[int, int]], seed: int) -> None:
    chosen = Rows(seed).of("name", table, kind)
    assert sorted(map(kind, chosen)) == sorted(set(map(kind, table)))
    assert chosen == [row for row in table if row in chosen]
    assert chosen == Rows(seed).of("name", table, kind)


@given(TABLE, SEEDS)
def test_seven_days_take_every_row_and_one_with_all_does(table: list[tuple[int, int]], seed: int) -> None:
    assert {row for day in range(PARTS) for row in Rows(seed + day, seventh=True).of("name", table, kind)} == set(table)
    assert Rows(seed, everything=True).of("name", table, kind) == table


def test_another_day_takes_another_row() -> None:
    assert len({Rows(seed).of("name", range(9))[0] for seed in range(100)}) == 9
