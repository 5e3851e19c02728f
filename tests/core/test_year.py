"""A year of ordinary backups of many hosts: the guard cries at most once a host; and whatever the attack, the next run tells of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import prod

import pytest

from maintainer.core.records import Extent
from maintainer.core.retention import Candidate, Limits, Verdict, judge
from tests.support.fakestore import WHEN

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
GIB = 1 << 30
GROUP = ("web1", ("/srv",))
YEARS = 8
"""How many hosts of each kind live through a year."""


@dataclass
class Host:
    """A host's year as the guard sees it: blobs come and go, and each snapshot reaches those of its day."""

    seed: int
    every: timedelta = DAY
    churn: float = 0.02
    missed: float = 0.02
    away: int = 0
    expected: timedelta = timedelta(0)
    wobble: float = 1
    snapshots: list[Candidate] = field(default_factory=list)
    measured: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.size = GIB
        self.at = WHEN
        self.away_from = self.random.randrange(60, 300)

    def live(self) -> None:
        """Let the time of one backup pass. It may not happen: holidays, sleep, a reboot."""
        self.at += self.every * self.random.uniform(0.8, 1.2)
        day = (self.at - WHEN).days
        is_away = self.away_from <= day < self.away_from + self.away
        if is_away or self.random.random() < self.missed:
            return
        kept = 1 - min(self.churn * self.random.uniform(1 - self.wobble, 1 + self.wobble), 0.99)
        if self.random.random() < 0.02 * (self.every / DAY):  # somebody tidies up
            kept *= self.random.uniform(0.7, 1)
        before, shared = self.size, int(self.size * max(kept, 0.01))
        self.size = int(shared + before * self.random.uniform(0.9, 1.15) * (1 - max(kept, 0.01)) + GIB * 0.002)
        self.add(self.at, Extent(self.size, before, shared))

    def add(self, at: datetime, extent: Extent, claims: datetime | None = None) -> None:
        """A host's clock goes wrong by minutes, and a summer's hour is none in UTC; a backup of some length is put when it ends."""
        time = claims or at - self.random.random() * HOUR + timedelta(minutes=self.random.uniform(-5, 5))
        name = f"{len(self.measured):06d}"
        self.measured[name] = (extent.size, extent.base, extent.shared)
        self.snapshots.append(Candidate(name, time, *GROUP, at))

    def judge(self, now: datetime) -> Verdict:
        """Judge as a run does, and remember what its commit would."""

        def measure(candidate: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
            size, base, shared = self.measured[candidate.id]
            if previous is None:
                return Extent(size)
            if anchor is None:
                return Extent(size, base, shared, previous.name)
            since = (self.measured[f"{number:06d}"] for number in range(int(anchor.id) + 1, int(candidate.id) + 1))
            held = self.measured[anchor.id][0]
            kept = held * prod(shared / base if base else 0 for _, base, shared in since)
            return Extent(size, base, shared, previous.name, held=held, kept=int(kept))

        verdict = judge(
            self.snapshots,
            {GROUP: self.expected},
            Limits(),
            measure,
            since=min((one.first_seen for one in self.snapshots), default=now),
            now=now,
        )
        self.snapshots = [
            replace(one, extent=verdict.extents.get(one.id), suspect=one.suspect or verdict.crowded.get(one.id, ""))
            for one in self.snapshots
        ]
        return verdict

    def endorse(self) -> None:
        """Be the person who settles what is ordinary for this host."""
        suspect = {one.id for one, _ in self.judge(self.at).suspect[:1]}
        self.snapshots = [replace(one, endorsed=one.endorsed or one.id in suspect) for one in self.snapshots]
        self.judge(self.at)

    def thin(self, now: datetime) -> None:
        """Forget as a policy of fourteen dailies and eight weeklies does, of what counts."""
        kept: dict[object, Candidate] = {}
        for one in self.snapshots:
            age = (now - one.first_seen).days
            week = one.first_seen.isocalendar()[:2]
            kept[one.id if age < 15 or one.suspect else one.first_seen.date() if age < 29 else week if age < 90 else None] = one
        kept.pop(None, None)
        self.snapshots = list(kept.values())


KINDS: dict[str, Callable[[int], Host]] = {
    "a server, daily": Host,
    "a server, daily, as it is configured": lambda seed: Host(seed, missed=0.0, expected=DAY),
    "a server, hourly": lambda seed: Host(seed, every=HOUR, churn=0.002),
    "a laptop that sleeps, and a holiday": lambda seed: Host(seed, missed=0.35, away=16),
    "a database, dumped and compressed": lambda seed: Host(seed, churn=0.95, wobble=0.05),
    "an archive, weekly": lambda seed: Host(seed, every=7 * DAY, churn=0.001),
}


def alarms(host: Host) -> int:
    """Return how often a run each night would have told something new, where a person settles what it tells."""
    told: set[str] = set()
    count = 0
    while not host.snapshots:
        host.live()
    night = host.at
    was_late = False
    while night < WHEN + 365 * DAY:
        night += DAY
        while host.at < night:
            host.live()
        verdict = host.judge(night)
        fresh = {candidate.id for candidate, _ in verdict.suspect} - told
        told |= fresh
        is_late = bool(verdict.late)
        count += bool(fresh) + (is_late and not was_late)
        was_late = is_late
        host.snapshots = [replace(one, endorsed=True) if one.id in fresh else one for one in host.snapshots]
        host.thin(night)
    return count


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_hosts_alarm_nobody_more_than_once_a_year(kind: str) -> None:
    counts = [alarms(KINDS[kind](seed)) for seed in range(YEARS if "hourly" not in kind else 3)]
    assert max(counts) <= 1, counts


def empty(host: Host) -> None:
    host.add(host.at, Extent(0, host.size, 0))


def shrink(host: Host) -> None:
    host.add(host.at, Extent(host.size // 3, host.size, host.size // 3))


def encrypt(host: Host) -> None:
    """Ransomware: the same paths, and every file another."""
    host.add(host.at, Extent(host.size, host.size, host.size // 1000))


def flood(host: Host) -> None:
    for _ in range(80):
        host.add(host.at, Extent(host.size, host.size, host.size))


def from_the_future(host: Host) -> None:
    host.add(host.at, Extent(host.size, host.size, host.size), claims=host.at + 400 * DAY)


def from_the_past(host: Host) -> None:
    host.add(host.at, Extent(host.size, host.size, host.size), claims=host.at - 400 * DAY)


ATTACKS = [empty, shrink, encrypt, flood, from_the_future, from_the_past]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_is_told_by_the_next_run(kind: str, attack: Callable[[Host], None]) -> None:
    # Compressed dumps share nothing on ordinary days either: what is in them nobody can see from outside.
    is_blind = attack is encrypt and "database" in kind
    for seed in range(2 if "hourly" in kind else 5):
        host = KINDS[kind](seed)
        while host.at < WHEN + 40 * DAY or (host.away and host.away_from - 2 <= (host.at - WHEN).days <= host.away_from + 30):
            host.live()
            if host.random.random() < host.every / DAY:
                host.endorse()
        before = {candidate.id for candidate, _ in host.judge(host.at).suspect}
        honest = len(host.snapshots)
        attack(host)
        found = {candidate.id for candidate, _ in host.judge(host.at + HOUR).suspect} - before
        assert ({one.id for one in host.snapshots[honest:]} <= found) != is_blind
        host.at += 30 * DAY
        assert GROUP in host.judge(host.at).stale


@pytest.mark.parametrize("kind", KINDS)
def test_backups_that_stop_are_told(kind: str) -> None:
    host = KINDS[kind](1)
    while host.at < WHEN + 50 * DAY:
        host.live()
    host.endorse()
    assert not host.judge(host.at).late
    assert host.judge(host.at + 25 * DAY).late


@pytest.mark.parametrize("at_once", [False, True], ids=["each night", "all at first contact"])
@pytest.mark.parametrize("base", [0, 1, 5, 20])
@pytest.mark.parametrize("window", [2, 3, 4, 7, 10, 12, 13, 14, 15, 16, 18, 20, 28, 40])
def test_dumps_that_are_rotated_alarm_nobody_more_than_once(window: int, base: int, at_once: bool) -> None:
    """A folder that holds the dumps of so many days: each leaves on its day, and of what was there before nothing is left a window later."""

    def content(number: int) -> frozenset[int]:
        return frozenset(range(max(0, number - window + 1), number + 1)) | frozenset(range(-1 - base, 0))

    def measure(one: Candidate, previous: Candidate | None, anchor: Candidate | None) -> Extent:
        mine = content(int(one.id))
        before, older = (content(int(each.id)) if each else frozenset() for each in (previous, anchor))
        beside = previous.name if previous else ""
        return Extent(len(mine), len(before), len(before & mine), beside, "", len(older), len(older & mine))

    days = 120
    candidates: list[Candidate] = []
    told: set[str] = set()
    for number in range(days):
        at = WHEN + number * DAY
        candidates.append(Candidate(f"{number:06d}", at, *GROUP, at))
        if at_once and number < days - 1:
            continue
        verdict = judge(candidates, {GROUP: timedelta(0)}, Limits(), measure, since=WHEN, now=at)
        fresh = {one.id for one, _ in verdict.suspect} - told
        told |= fresh
        candidates = [replace(one, extent=verdict.extents.get(one.id), endorsed=one.endorsed or one.id in fresh) for one in candidates]
    # Where not even half stays from night to night, it is what the night before tells that speaks against the first.
    assert len(told) <= 1, sorted(told)
