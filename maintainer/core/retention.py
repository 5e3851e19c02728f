"""The retention guard: which of the snapshots that the policy wants gone may go, each with its reasons. Time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from maintainer.core.job import Limits


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot as restic tells of it, and `first_seen`, the time of its object in the store, which no host can choose."""

    id: str
    time: datetime
    first_seen: datetime
    host: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `restic forget --dry-run` proposed for one group: ids, with restic's reasons for those kept."""

    keep: Mapping[str, tuple[str, ...]]
    remove: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """One snapshot's fate and why."""

    id: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be forgotten, what stays, who is suspect, and why a group's deletion was held where it was."""

    forget: tuple[Decision, ...] = ()
    keep: tuple[Decision, ...] = ()
    suspects: tuple[Decision, ...] = ()
    held: tuple[str, ...] = ()


def suspicion(snapshot: Snapshot, limits: Limits, *, now: datetime) -> tuple[str, ...]:
    """Return why a snapshot may not be the reason to forget another: no reasons, no suspicion."""
    margin = timedelta(seconds=limits.future_s)
    reasons: list[str] = []
    if snapshot.time > now + margin:
        reasons.append(f"claims {snapshot.time:%Y-%m-%d %H:%M}, which is in the future")
    if snapshot.time > snapshot.first_seen + margin:
        reasons.append(f"claims {snapshot.time:%Y-%m-%d %H:%M}, but arrived at {snapshot.first_seen:%Y-%m-%d %H:%M}")
    return tuple(reasons)


def suspects(snapshots: Sequence[Snapshot], limits: Limits, *, now: datetime) -> tuple[Decision, ...]:
    """Return the suspect snapshots with their reasons. The policy is then asked about the others alone."""
    found = ((snapshot.id, suspicion(snapshot, limits, now=now)) for snapshot in snapshots)
    return tuple(Decision(snapshot_id, reasons) for snapshot_id, reasons in found if reasons)


def judge(proposals: Sequence[Proposal], suspected: Sequence[Decision], limits: Limits) -> Verdict:
    """Judge what the policy proposes for the endorsed snapshots, group by group.

    The proposals were made without the suspects, so that none of these pushed another out; should one name a suspect all the same,
    it is kept. A group that would lose more than its share, or fall below its floor, is held whole.
    """
    suspect_ids = {decision.id for decision in suspected}
    forget: list[Decision] = []
    keep: list[Decision] = []
    held: list[str] = []
    for proposal in proposals:
        removable = tuple(snapshot_id for snapshot_id in proposal.remove if snapshot_id not in suspect_ids)
        remaining = sum(snapshot_id not in suspect_ids for snapshot_id in proposal.keep)
        keep.extend(Decision(snapshot_id, reasons) for snapshot_id, reasons in proposal.keep.items() if snapshot_id not in suspect_ids)
        reasons = _why_held(len(removable), remaining, limits)
        if reasons:
            held.extend(reasons)
            keep.extend(Decision(snapshot_id, reasons) for snapshot_id in removable)
        else:
            forget.extend(Decision(snapshot_id, ("no rule of the policy keeps it",)) for snapshot_id in removable)
    return Verdict(tuple(forget), tuple(keep), tuple(suspected), tuple(held))


def _why_held(removed: int, remaining: int, limits: Limits) -> tuple[str, ...]:
    total = removed + remaining
    if not removed:
        return ()
    if remaining < limits.min_remaining:
        return (f"held: {remaining} of {total} snapshots would remain, the floor is {limits.min_remaining}",)
    if removed > limits.max_share * total:
        return (f"held: {removed} of {total} snapshots would go in one run, the limit is {limits.max_share:.0%}",)
    return ()
