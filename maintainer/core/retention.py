"""Which snapshots count: the policy is applied to history as it stood a probation ago. Time is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import islice, pairwise
from statistics import median
from typing import TypeAlias

from maintainer.core.amounts import size
from maintainer.core.entries import Group
from maintainer.core.moments import earlier, later, to_minute, to_text
from maintainer.core.records import Extent

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Every margin of the guard."""

    skew: timedelta = timedelta(minutes=10)
    """How far a host's clock may be ahead of the store's."""
    longest_backup: timedelta = timedelta(days=7)
    """A snapshot's time is its backup's start: it may lie so far before its object's."""
    probation: timedelta = timedelta(days=14)
    """How long a snapshot must have been seen before it counts."""
    collapsed_below: float = 0.5
    """A snapshot smaller than this share of what is usual has collapsed. Usual is the larger of its predecessor, and the median before."""
    rewritten_below: float = 0.25
    """One that holds less than this share of what its predecessors usually leave to the next has been rewritten.

    Beside an older one, which nobody has put within the probation, it is the same: for whoever put ballast yesterday can leave it alone
    today.
    """
    telling_share: float = 0.2
    """Where predecessors usually leave less than this to the next, as compressed dumps do, it tells nothing that one left less still."""
    history: int = 14
    """How many plausible predecessors, and days, say what is usual."""
    per_day_at_first: int = 100
    """How many snapshots of a host and paths a day may bring before it is known what is usual: one each quarter of an hour, and some by
    hand. Later: twice what is usual, and one more."""
    per_day_after_pause: int = 26
    """How many where what was usual lies further back than the probation, for a policy may have thinned it: one an hour, two by hand."""
    by_hand: int = 8
    """How many a day may bring whatever is usual: a person at work backs up before and after each step."""
    stale: timedelta = timedelta(days=7)
    """How old the newest plausible snapshot may be before nothing is forgotten; or three times what is usual, where that is more."""
    at_least: int = 3
    """How many counting snapshots of a host and paths always stay."""
    share: float = 0.5
    """Which share of the counting snapshots of a host and paths one run may forget at most."""


MOST_GROUPS = 1_000
"""How many hosts and paths a person may be asked to confirm at a time."""
RECENT = 3
"""How many probations ago a snapshot came at most that is measured beside an older one."""
YOUNG, BALLAST, STAYS = 5, 2.0, 0.85
"""Before it is known what is usual beside an older one: how many must have come since the first, how much larger than that the last must
be, and what share of each other they must have kept, for what goes at once to tell."""
ENOUGH = 3
"""How many say what is usual."""
MEASURED_SUSPECTS = 20
"""Snapshots whose content is looked at in a night though something else speaks against them: each may reach all that there is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A snapshot as it claims to be, `first_seen` by the store's clock, and what the ledger holds of it.

    `suspect` is what speaks against it whatever else; `endorsed` tells that a person found it good. `extent` is what was measured when it
    was new: its content is judged then, and not again when a policy has thinned what came before. `before_us` tells that the
    first run admitted it.
    """

    id: str
    time: datetime
    host: str
    paths: tuple[str, ...]
    first_seen: datetime
    suspect: str = ""
    endorsed: bool = False
    extent: Extent | None = None
    before_us: bool = False

    @property
    def name(self) -> str:
        """Return what names it in the order of time."""
        return f"{to_text(self.first_seen)} {self.id}"

    @property
    def group(self) -> Group:
        """Return its host and paths."""
        return (self.host, self.paths)


Measure: TypeAlias = Callable[[Candidate, Candidate | None, Candidate | None], Extent]
"""What a snapshot reaches, beside its plausible predecessor and an older one: trees are read, at its dearest."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What counts, what is plausible and waits (`in_probation`), and what is suspect, with the reasons.

    `crowded` are those that came with too many others: the ledger must remember it, for later the others may be gone.
    `stale` says of a group why nothing of it is forgotten now, `late` since when a snapshot is missing; `extents` what was measured, by id.
    """

    counting: tuple[Candidate, ...] = ()
    in_probation: tuple[Candidate, ...] = ()
    suspect: tuple[tuple[Candidate, tuple[str, ...]], ...] = ()
    crowded: Mapping[str, str] = field(default_factory=dict)
    stale: Mapping[Group, str] = field(default_factory=dict)
    late: Mapping[Group, str] = field(default_factory=dict)
    extents: Mapping[str, Extent] = field(default_factory=dict)


CAME_LATE = "it came "
"""How a snapshot's `suspect` begins that first contact doubts for its date."""


def came_late(snapshots: Mapping[str, tuple[datetime, datetime]], limits: Limits) -> dict[str, str]:
    """Return which snapshots of first contact came long after the time that they claim, where others did not, and why that is doubted.

    `snapshots` has by key when the store saw each, and the time that it claims. Where all came so, the repository was copied here from
    another bucket. Where some did, their history may have been copied in; or somebody without the right to delete has put a year of
    plausible snapshots, so that the policy keeps those and forgets the true ones.
    """
    late = {key: came - claimed for key, (came, claimed) in snapshots.items() if earlier(came, limits.longest_backup) > claimed}
    if len(late) == len(snapshots):
        return {}
    return {key: f"{CAME_LATE}{by.days} days after the time that it claims, and others did not" for key, by in late.items()}


Expectation: TypeAlias = Mapping[Group, timedelta]
"""The hosts and paths that are expected, and how often; never, where history says how often."""


def judge(
    candidates: Sequence[Candidate],
    expected: Expectation,
    limits: Limits,
    measure: Measure,
    *,
    since: datetime,
    now: datetime,
    accepted: bool = False,
) -> Verdict:
    """Say which snapshots count, each host and paths in the order in which the store saw them.

    `since` is when the repository was made. Of one without any snapshot the first is awaited as long as a next one would be. A person may
    have `accepted` what was there before us, with the days on which more came than is usual.
    """
    by_group: dict[Group, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda one: (one.first_seen, one.time, one.id)):
        by_group.setdefault(candidate.group, []).append(candidate)
    counting: list[Candidate] = []
    waiting: list[Candidate] = []
    suspect: list[tuple[Candidate, tuple[str, ...]]] = []
    stale: dict[Group, str] = {}
    late: dict[Group, str] = {
        group: "none has ever come"
        for group, every in expected.items()
        if group not in by_group and (by_group or later(since, 2 * every or limits.stale) < now)
    }
    extents: dict[str, Extent] = {}
    crowded: dict[str, str] = {}
    spare = iter(range(MEASURED_SUSPECTS))
    for group, found in by_group.items():
        recent = earlier(now, RECENT * limits.probation)
        judged = _Group(limits, measure, expected.get(group, timedelta(0)), recent=recent, spare=spare, accepted=accepted)
        judged.take(found, "" if group in expected else f"host {group[0]!r} with {', '.join(map(repr, group[1]))} is not expected")
        extents |= judged.extents
        crowded |= judged.crowded
        suspect += judged.suspect
        for candidate in judged.plausible:
            (waiting if later(candidate.first_seen, limits.probation) > now else counting).append(candidate)
        if why := judged.why_stale(now):
            stale[group] = why
        if group in expected and (why := judged.why_late(now)):
            late[group] = why
    return Verdict(tuple(counting), tuple(waiting), tuple(suspect), crowded, stale, late, extents)


def usual_before(found: Iterable[Candidate], limits: Limits) -> int:
    """Return how many a day of one host and paths are usual by what was there before us, of which a person sees what is odd."""
    days = Counter(one.first_seen.date() for one in found if one.before_us)
    return max(2 * round(median(days.values())) + 1 if days else 0, limits.per_day_at_first)


def odd_days(candidates: Iterable[Candidate], limits: Limits) -> tuple[str, ...]:
    """Say of which days, before us, more of a host came than is usual there: for a person to see before they accept it."""
    found: dict[tuple[Group, date], int] = Counter((one.group, one.first_seen.date()) for one in candidates if one.before_us)
    by_group: dict[Group, list[int]] = {}
    for (group, _), count in found.items():
        by_group.setdefault(group, []).append(count)
    most = {group: max(2 * round(median(counts)) + 1, limits.by_hand) for group, counts in by_group.items()}
    return tuple(f"{count} of {group[0]} on {day}" for (group, day), count in sorted(found.items()) if count > most[group])


class _Group:
    """One host's history as it is judged, oldest first. Mutable, and never seen outside `judge`."""

    def __init__(
        self, limits: Limits, measure: Measure, every: timedelta, *, recent: datetime, spare: Iterator[int], accepted: bool
    ) -> None:
        self._limits = limits
        self._every = every
        self._measure = measure
        self._usual_from = 0
        self._usual_share = 1.0
        self._recent = recent
        self._spare = spare
        self._accepted = accepted
        self._endorsed: Candidate | None = None
        self.plausible: list[Candidate] = []
        self.suspect: list[tuple[Candidate, tuple[str, ...]]] = []
        self.extents: dict[str, Extent] = {}
        self.crowded: dict[str, str] = {}

    def take(self, found: Sequence[Candidate], unexpected: str) -> None:
        self.crowded = self._find_crowded(found)
        for candidate in found:
            crowded = self.crowded.get(candidate.id, "")
            said = tuple(filter(None, (candidate.suspect or crowded, unexpected, *self._why_its_time_is(candidate))))
            if candidate.endorsed or candidate.extent is not None or not said or next(self._spare, None) is not None:
                said = (*said, *filter(None, (self._why_its_content_is(candidate),)))
            reasons = () if candidate.endorsed else said
            if reasons:
                self.suspect.append((candidate, reasons))
            else:
                self.plausible.append(candidate)

    def _why_its_time_is(self, candidate: Candidate) -> tuple[str, ...]:
        limits = self._limits
        claims, arrived = to_minute(candidate.time), to_minute(candidate.first_seen)
        if candidate.time > later(candidate.first_seen, limits.skew):
            return (f"claims {claims}, but was there at {arrived}",)
        if candidate.time < earlier(candidate.first_seen, limits.longest_backup):
            return (f"claims {claims}, more than {limits.longest_backup.days} days before it arrived at {arrived}",)
        return ()

    def _find_crowded(self, found: Sequence[Candidate]) -> dict[str, str]:
        """Return what is new and came with more others within a day than is usual, and those others: nobody knows which of them are true.

        Usual is what the last days before had, of what was judged and found plausible: no flood makes the next one usual, and what a policy
        has thinned says nothing.
        """
        reasons: dict[str, str] = {}
        days: dict[date, int] = {}
        before_us = usual_before(found, self._limits)
        first = marked = 0
        for last, candidate in enumerate(found):
            while found[first].first_seen <= earlier(candidate.first_seen, DAY) and first < last:
                one = found[first]
                is_judged = one.extent is not None and not one.extent.why
                if (is_judged or one.before_us) and not one.suspect:
                    days[one.first_seen.date()] = days.get(one.first_seen.date(), 0) + 1
                first += 1
            if candidate.extent is not None or (self._accepted and candidate.before_us):
                continue
            count = last - first + 1
            most = before_us if candidate.before_us else self._most_a_day(days, earlier(candidate.first_seen, DAY))
            if count > most:
                for one in found[max(first, marked) : last + 1]:
                    reasons[one.id] = f"one of {count} within a day, where {most} would be usual at most"
                marked = last + 1
        return reasons

    def _most_a_day(self, days: dict[date, int], before: datetime) -> int:
        """Return how many may come within a day; the day that is not over yet says nothing."""
        if self._every:
            return max(2 * max(round(DAY / self._every), 1) + 1, self._limits.by_hand)
        last = islice(reversed(days), self._limits.history + 1)  # they are in order of time: no more are looked at than may tell
        whole = [day for day in last if day < before.date()][: self._limits.history]
        recent = [days[day] for day in whole if day > whole[0] - self._limits.probation]
        if len(recent) >= ENOUGH:
            return max(2 * round(median(recent)) + 1, self._limits.by_hand)
        return self._limits.per_day_after_pause if len(whole) >= ENOUGH else self._limits.per_day_at_first

    def _why_its_content_is(self, candidate: Candidate) -> str:
        """Measure it beside its predecessor, unless that was done and no later one is plausible by now.

        With a person's word for it, it begins what is usual anew.
        """
        previous = self.plausible[-1] if self.plausible else None
        known = candidate.extent
        if known is None or (previous is not None and previous.name > known.beside and known.why):
            anchor = self._find_anchor(candidate)
            known = self._measure(candidate, previous, None if anchor is previous else anchor)
            known = replace(known, why=known.why or self._why_unusual(known) or self._why_replaced(candidate, known))
            if anchor is not None and later(anchor.first_seen, self._limits.probation) > candidate.first_seen:
                known = replace(known, held=0, kept=0)  # of another age than those that say what is usual
        self.extents[candidate.id] = known
        if candidate.endorsed:
            self._usual_from = len(self.plausible)
            self._usual_share = known.shared / known.base if known.base else 1
            self._endorsed = candidate
        return known.why

    def _find_anchor(self, candidate: Candidate) -> Candidate | None:
        """Return the older one that a snapshot is measured beside: the newest of a probation before, or the first since a person's word.

        Of a long history that is new to us only the last part is: each would be read for it once more.
        """
        if not self.plausible or candidate.first_seen < self._recent:
            return None
        before = earlier(candidate.first_seen, self._limits.probation)
        old = next((one for one in reversed(self.plausible) if one.first_seen <= before), self.plausible[0])
        return self._endorsed if self._endorsed is not None and self._endorsed.name > old.name else old

    def _why_replaced(self, candidate: Candidate, extent: Extent) -> str:
        """Say that hardly anything is left of what was there before the probation, where that is not usual.

        What is usual is told by snapshots that nobody has put within the probation. While there are none it is suspect only where what came
        since was larger: files that are rotated leave in their order, and nothing of them is left by and by.
        """
        if not extent.held:
            return ""
        before = earlier(candidate.first_seen, self._limits.probation)
        told = [self.extents[one.id] for one in self.plausible[self._usual_from :] if one.first_seen <= before]
        kept = [one.kept / one.held for one in told[-self._limits.history :] if one.held]
        usually = min(kept) if len(kept) >= ENOUGH else self._usual_while_young(extent)
        least, share = self._limits.rewritten_below * usually, extent.kept / extent.held
        if share < least and usually >= self._limits.telling_share:
            return f"holds {share:.0%} of what was there before the last weeks, where {least:.0%} would be little: it was replaced"
        return ""

    def _usual_while_young(self, extent: Extent) -> float:
        """Return what a snapshot should keep of the older one, before that is known: nothing, unless what came between was far larger.

        Then it tells where much goes at once that had stayed from day to day. A rotation of a week's dumps is none of that.
        """
        since = [self.extents[one.id] for one in self.plausible[self._usual_from :]]
        left = [one.shared / one.base for one in since if one.base]
        goes_at_once = extent.base >= BALLAST * extent.held and extent.shared < STAYS * extent.base
        return median(left) if len(left) >= YOUNG and goes_at_once and median(left) >= STAYS else 0.0

    def _why_unusual(self, extent: Extent) -> str:
        past = [self.extents[one.id] for one in self.plausible[max(self._usual_from, len(self.plausible) - self._limits.history) :]]
        usual = max(extent.base, median(one.size for one in past)) if past else 0
        if extent.size < self._limits.collapsed_below * usual:
            return f"holds {size(extent.size)}, where {size(usual)} are usual: it has shrunk"
        if extent.base:
            left = [one.shared / one.base for one in past if one.base]
            usually = median(left) if len(left) >= ENOUGH else self._usual_share
            least = self._limits.rewritten_below * usually
            share = extent.shared / extent.base
            if share < least and usually >= self._limits.telling_share:
                return f"holds {share:.0%} of what the one before it held, where {least:.0%} would be little: it was rewritten"
        return ""

    def why_stale(self, now: datetime) -> str:
        every = self._every
        if not every:
            seen = [one.first_seen for one in self.plausible[-self._limits.history :]]
            gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(seen)]
            every = timedelta(seconds=median(gaps) if len(gaps) >= ENOUGH else 0)
        return self._why_older(max(self._limits.stale, 3 * every), now)

    def why_late(self, now: datetime) -> str:
        """Tell since when a snapshot is missing: one that is expected so often, or else that was usual."""
        return self._why_older(2 * self._every, now) if self._every else self.why_stale(now)

    def _why_older(self, limit: timedelta, now: datetime) -> str:
        if not self.plausible:
            return "no snapshot is plausible" + (": those that came are suspect" if self.suspect else "")
        newest = self.plausible[-1].first_seen
        if later(newest, limit) >= now:
            return ""
        # Not how many: what is said is the evidence, and each night's would be news.
        came = "; newer ones came, and are suspect" if any(one.first_seen > newest for one, _ in self.suspect) else ""
        return f"the newest plausible snapshot is of {to_minute(newest)}{came}"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What of a policy's proposal is carried out, and for each group why not all of it."""

    forget: tuple[str, ...] = ()
    held: Mapping[Group, str] = field(default_factory=dict)


def allow(proposed: Iterable[str], verdict: Verdict, limits: Limits) -> Allowed:
    """Cut a policy's proposal down to what the limits allow, oldest first; what is no counting snapshot is never forgotten."""
    wanted = set(proposed)
    groups: dict[Group, list[Candidate]] = {}
    for candidate in verdict.counting:
        groups.setdefault(candidate.group, []).append(candidate)
    forget: list[str] = []
    held: dict[Group, str] = {}
    for group, counting in groups.items():
        asked = [candidate.id for candidate in sorted(counting, key=lambda one: (one.time, one.id)) if candidate.id in wanted]
        most = min(len(counting) - limits.at_least, int(limits.share * len(counting)))
        if asked and group in verdict.stale:
            held[group] = verdict.stale[group]
        elif len(asked) > max(most, 0):
            most = max(most, 0)
            held[group] = (
                f"{len(asked)} of {len(counting)} counting snapshots would go; {most} may in one run, and {limits.at_least} always stay"
            )
            forget += asked[:most]
        else:
            forget += asked
    return Allowed(tuple(forget), held)


def groups(candidates: Iterable[Candidate]) -> tuple[Group, ...]:
    """Return the distinct hosts and paths, in order: what a person is asked to confirm. Of very many the first that the store saw."""
    found: dict[Group, None] = {}
    for candidate in sorted(candidates, key=lambda one: one.name):
        found.setdefault(candidate.group)
    return tuple(sorted(islice(found, MOST_GROUPS)))
