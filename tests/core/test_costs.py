"""What an instance cost: by the second, each hour at the price that held when it began."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.costs import Price, StorePrices, month_spent, of_droplet, of_instance, total

START = datetime(2026, 11, 30, 3, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


STEADY = (Price(at(-600), 0.06),)
RISING = (Price(at(90), 0.12), Price(at(-600), 0.06))  # EC2 shows the latest first


@pytest.mark.parametrize(
    ("prices", "minutes", "usd"),
    [
        (STEADY, 0, 0.001),  # a minute at least
        (STEADY, 0.5, 0.001),
        (STEADY, 30, 0.03),
        (STEADY, 90, 0.09),
        (RISING, 60, 0.06),
        (RISING, 120, 0.12),  # the second hour began before the price rose
        (RISING, 150, 0.18),
        ((Price(at(5), 0.06),), 60, 0.06),  # no price is shown from before: the first that is
        ((), 60, None),
    ],
)
def test_an_instance_costs_its_time_at_the_price_of_the_moment(prices: tuple[Price, ...], minutes: float, usd: float | None) -> None:
    cost = of_instance(prices, START, at(minutes))
    assert cost == (None if usd is None else pytest.approx(usd))


@given(st.floats(1, 10_000), st.floats(1, 10_000))
def test_longer_never_costs_less(one: float, other: float) -> None:
    costs = [of_instance(RISING, START, at(minutes)) or 0 for minutes in sorted((one, other))]
    assert costs == sorted(costs)


def test_requests_cost_by_the_thousand() -> None:
    assert StorePrices(0.0004, 0.005).of(10_000, 2_000) == pytest.approx(0.014)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total([0.1, 0.2]) == pytest.approx(0.3)
    assert total([0.1, None]) is None
    assert total([]) == 0


@pytest.mark.parametrize(
    ("bills", "spent"), [([], 0), ([1.0, 0.5], 1.5), ([1.0, None, 0.5, None], 3.5), ([None, None], 0), ([0.25, None], 0.5)]
)
def test_what_is_not_known_of_a_month_counts_as_the_dearest_that_is(bills: list[float | None], spent: float) -> None:
    assert month_spent(bills) == spent


@pytest.mark.parametrize(("minutes", "usd"), [(0, 0.01), (1, 0.01), (60, 0.25), (90, 0.375)])
def test_a_droplet_is_billed_by_the_second_and_a_cent_at_least(minutes: float, usd: float) -> None:
    assert of_droplet(0.25, START, at(minutes)) == pytest.approx(usd)
