"""What a run costs: an instance's time at the price of the moment, and requests to the store. All in USD."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SHORTEST = timedelta(seconds=60)
"""Of Linux instances every second is billed, and a minute at least (EC2 user guide, "Billing by the second")."""
DROPLET_LEAST_USD = 0.01
"""Of droplets every second is billed since 2026, and a minute or a cent at least, whichever is more (DigitalOcean changelog)."""
GIB_MONTH = 0.08
"""USD for a GiB of gp3 and month in us-east-1 (Amazon EBS pricing, 2025)."""
_HOUR = timedelta(hours=1)
_MONTH = timedelta(hours=730)


@dataclass(frozen=True, slots=True)
class Price:
    """What an hour cost from a moment on."""

    since: datetime
    usd_hour: float


@dataclass(frozen=True, slots=True)
class StorePrices:
    """What a store takes: USD for a thousand requests that read one object, for a thousand that write, copy or list, and for a GiB a month.

    By default what S3 Standard takes in us-east-1 (Amazon S3 pricing, 2025).
    """

    reads: float = 0.0004
    writes: float = 0.005
    gib_month: float = 0.023

    def of(self, reads: int, writes: int) -> float:
        """Return what these requests cost."""
        return (reads * self.reads + writes * self.writes) / 1000

    def of_month(self, size: int) -> float:
        """Return what so many bytes cost in a month."""
        return size / (1 << 30) * self.gib_month


def of_instance(prices: Sequence[Price], launched: datetime, ended: datetime) -> float | None:
    """Return what an instance cost; None where no price is known.

    Each of its hours is billed at the price that held when that hour began (EC2 user guide, "Billing for interrupted Spot Instances"),
    and the last of them by the second. An on-demand price is one that always held.
    """
    if not prices:
        return None
    ordered = sorted(prices, key=lambda one: one.since)
    ended = max(ended, launched + SHORTEST)
    total, hour = 0.0, launched
    while hour < ended:
        price = next((one for one in reversed(ordered) if one.since <= hour), ordered[0])
        total += price.usd_hour * (min(ended - hour, _HOUR) / _HOUR)
        hour += _HOUR
    return total


def of_droplet(usd_hour: float, created: datetime, destroyed: datetime) -> float:
    """Return what a droplet cost, whether it was switched on or not, until it was destroyed."""
    return max(usd_hour * (max(destroyed - created, SHORTEST) / _HOUR), DROPLET_LEAST_USD)


def of_volume(gib: int, made: datetime, now: datetime) -> float:
    """Return what a volume (gp3) has cost, by us-east-1's list price: elsewhere it is a little more."""
    return gib * GIB_MONTH * ((now - made) / _MONTH)


def total(costs: Iterable[float | None]) -> float | None:
    """Return the sum; None where one of them is not known."""
    known = list(costs)
    return None if any(one is None for one in known) else sum(one for one in known if one is not None)


def month_spent(bills: Iterable[float | None]) -> float:
    """Return what a month's runs have cost. One that is not known counts as the dearest that is: no missing right lifts a budget."""
    every = list(bills)
    known = [one for one in every if one is not None]
    return sum(known) + (len(every) - len(known)) * max(known, default=0.0)
