"""The worst that a host can do in some nights unnoticed, searched for by an adversary who knows the guard's rules; docs/attacks.md has it.

The adversary holds a host whose thirty daily backups kept 98 % of each other. Each night it puts one snapshot of the right host, paths and
time: some share of what was there when it came, and ballast of its own, as much as it likes. It wants as little of the former as it can
get without being suspect. A beam of the best few courses is kept from night to night.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from maintainer.core.records import Extent
from maintainer.core.retention import Candidate, Limits, judge
from tests.support.fakestore import WHEN

DAY = timedelta(days=1)
GROUP = ("web1", ("/srv",))
KEPT = 0.98
HONEST = 30
SIZE = 1 << 30
FACTORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.26, 0.28, 0.3, 0.4, 0.5, 0.51, 0.6, 0.75, 0.9, 1.0)
BALLAST = (0.0, 0.5, 1.0, 3.0)
BEAM = 12


@dataclass(frozen=True)
class Course:
    """What the adversary has put: of each night how much of the honest content is left, as a share, and how much ballast."""

    nights: tuple[tuple[float, float], ...] = ()
    extents: tuple[Extent, ...] = ()

    @property
    def left(self) -> float:
        return self.nights[-1][0] if self.nights else 1.0


def content(course: Course, number: int) -> tuple[float, float]:
    """Return the honest content, by its share of that of the last honest day, and the ballast of a snapshot by its number."""
    return (1.0, 0.0) if number < HONEST else course.nights[number - HONEST]


def measure_of(course: Course, extra: tuple[float, float]) -> Extent:
    """Return what is measured of one more snapshot: what is kept of the last, and of the one that is fourteen days older."""
    whole = Course((*course.nights, extra))
    number = HONEST + len(course.nights)
    (before, ballast), (left, more) = content(whole, number - 1), extra
    anchor = max(number - 14, 0)
    held, other = content(whole, anchor)
    decay = KEPT ** max(HONEST - 1 - anchor, 0) if anchor < HONEST else 1.0
    shared = min(before, left) + min(ballast, more)
    kept = min(held, left) * decay + (min(other, more) if anchor >= HONEST else 0.0)
    size = left + more
    return Extent(
        int(size * SIZE), int((before + ballast) * SIZE), int(shared * SIZE), "x", "", int((held + other) * SIZE), int(kept * SIZE)
    )


def honest(number: int) -> Extent:
    base = SIZE if number else 0
    held, kept = (SIZE, int(SIZE * KEPT**14)) if number >= 14 else (0, 0)
    return Extent(SIZE, base, int(base * KEPT), "x" if number else "", "", held, kept)


def is_noticed(course: Course, extra: tuple[float, float]) -> tuple[bool, Extent]:
    fresh = measure_of(course, extra)
    extents = [*map(honest, range(HONEST)), *course.extents]
    known = [candidate(number, extent) for number, extent in enumerate(extents)]
    new = candidate(len(known), None)
    verdict = judge([*known, new], {GROUP: timedelta(0)}, Limits(), lambda *_: fresh, since=WHEN, now=new.first_seen)
    return bool(verdict.suspect), replace(fresh, beside=known[-1].name)


def candidate(number: int, extent: Extent | None) -> Candidate:
    at = WHEN + number * DAY
    return Candidate(f"{number:06d}", at, *GROUP, at, extent=extent)


def search(nights: int) -> list[float]:
    """Return the least share of the honest content that is left after each night, unnoticed."""
    beam = [Course()]
    least = []
    for _ in range(nights):
        grown: dict[tuple[float, float], Course] = {}
        for course in beam:
            for factor in FACTORS:
                for ballast in BALLAST:
                    extra = (course.left * factor, ballast)
                    noticed, extent = is_noticed(course, extra)
                    if not noticed:
                        grown.setdefault(extra, Course((*course.nights, extra), (*course.extents, extent)))
        ordered = sorted(grown.values(), key=lambda one: (one.left, -one.nights[-1][1]))
        beam = [*ordered[: BEAM // 2], *ordered[:: max(1, len(ordered) // (BEAM // 2))]][:BEAM]
        least.append(min(one.left for one in grown.values()))
    return least


def test_two_nights_of_ballast_are_noticed() -> None:
    noticed, extent = is_noticed(Course(), (1.0, 3.0))
    assert not noticed, "whoever adds is not suspect"
    assert is_noticed(Course(((1.0, 3.0),), (extent,)), (0.0, 3.0))[0]


@pytest.mark.long
def test_the_worst_that_goes_unnoticed_is_what_the_page_says() -> None:
    least = search(14)
    page = " ".join((Path(__file__).parents[2] / "docs/attacks.md").read_text().split())
    said = re.search(r"after 1 night (\d+) %, after 7 nights (\d+) %, after 14 nights (\d+) %", page)
    assert said is not None
    assert [round(100 * least[night - 1]) for night in (1, 7, 14)] == [int(number) for number in said.groups()], least
