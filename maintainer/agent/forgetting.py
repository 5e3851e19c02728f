"""What a run forgets: snapshots are judged, restic's own policy is asked on those that count, and the limits cut what it proposes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from maintainer.agent.extents import Extents
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.trees import Trees
from maintainer.core import abridging, retention
from maintainer.core.amounts import counted
from maintainer.core.entries import UNDELETED, Group
from maintainer.core.findings import Finding, Kind
from maintainer.core.job import FOR_EVER
from maintainer.core.moments import to_minute
from maintainer.core.retention import CAME_LATE, Candidate, Expectation, Verdict
from maintainer.core.view import Shown, View
from maintainer.edges import restic
from maintainer.edges.viewserver import Permissions

NAMED = 5
"""How many days are named on which more came than is usual, and how many snapshots that came late."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What judging came to: `forget` by full id."""

    candidates: tuple[Candidate, ...] = ()
    forget: tuple[str, ...] = ()
    verdict: Verdict = field(default_factory=Verdict)


def judge(run: Run, opened: Opened, shown: Shown, *, remember: bool) -> Judged:
    """Judge the snapshots of a view, tell it, and say what may be forgotten. What was read for it is kept where it may `remember`."""
    if run.job.is_kept_long_enough(run.now):
        until = run.job.keep_until
        run.findings.append(Finding(Kind.OVER, run.job.name, f"its host is retired, and it was to be kept until {until}", until))
    with run.serve(View(shown), Permissions()) as server:
        listed = restic.parse_snapshots(run.demand(server, opened, restic.snapshots_argv()))
    candidates = _candidates(run, listed)
    # Who accepted a repository in which nothing was whole yet has confirmed no host.
    is_confirmed = run.job.expect or (run.fold.accepted and run.fold.expected)
    if run.has_earlier_ledger or not is_confirmed:
        if not run.job.expect:
            odd = retention.odd_days(candidates, run.job.limits)
            _ask_to_confirm(run, retention.groups(candidates), odd, [one for one in candidates if one.suspect.startswith(CAME_LATE)])
        held = "another ledger was here before" if run.has_earlier_ledger else "hosts and paths are not confirmed yet"
        run.recorder.record("retention.held", reason=held)
        return Judged(candidates)
    trees = Trees(run, opened, shown)
    extents = Extents(trees, {one.id: bytes.fromhex(one.tree) for one in listed})
    extents.ahead(one.id for one in candidates if one.extent is None)
    limits = run.job.limits
    since = run.fold.records["config"].first_seen
    verdict = retention.judge(candidates, _expected(run), limits, extents.measure, since=since, now=run.now, accepted=run.fold.accepted)
    if remember:
        extents.remember()
    run.recorder.record("snapshots.measured", snapshots=len(verdict.extents), trees=trees.trees_read, bytes=trees.bytes_read)
    _tell(run, verdict)
    if run.job.is_retired:
        until = run.job.keep_until if run.job.keep_until == FOR_EVER else f"until {run.job.keep_until}"
        run.recorder.record("retention.held", reason=f"its host is retired, and all of it is kept {until}")
        return Judged(candidates, (), verdict)
    held = "first contact forgets nothing" if run.fold.is_first_contact else "the policy has no rule" if run.job.keep.is_empty() else ""
    if held:
        run.recorder.record("retention.held", reason=held)
        return Judged(candidates, (), verdict)
    allowed = retention.allow(_policy(run, opened, shown, verdict), verdict, limits)
    for (host, paths), why in allowed.held.items():
        run.recorder.record("retention.limited", host=host, paths=list(paths), reason=why)
    run.recorder.record(
        "retention.judged",
        counting=len(verdict.counting),
        in_probation=len(verdict.in_probation),
        suspect=len(verdict.suspect),
        forget=len(allowed.forget),
    )
    return Judged(candidates, allowed.forget, verdict)


def _candidates(run: Run, listed: tuple[restic.Snapshot, ...]) -> tuple[Candidate, ...]:
    records, first = run.fold.records, run.fold.commits[0] if run.fold.commits else None
    return tuple(
        Candidate(
            s.id,
            s.time,
            *abridging.group(s.host, s.paths),
            record.first_seen,
            "" if run.fold.accepted and record.suspect.startswith(CAME_LATE) else record.suspect,
            key in run.fold.endorsed,
            record.extent,
            before_us=first is None or record.since <= first,
        )
        for s in listed
        if (record := records.get(key := f"snapshots/{s.id}")) is not None
    )


def _expected(run: Run) -> Expectation:
    confirmed = {abridging.group(*one): timedelta(0) for one in run.fold.expected}
    return {**confirmed, **{abridging.group(one.host, one.paths): timedelta(seconds=one.every_s) for one in run.job.expect}}


def _tell(run: Run, verdict: Verdict) -> None:
    for (host, paths), why in () if run.job.is_retired else verdict.late.items():
        run.findings.append(Finding(Kind.LATE, f"{host}: {', '.join(paths)}", why, why))
    for candidate, reasons in verdict.suspect:
        if not candidate.suspect.startswith(UNDELETED):
            run.findings.append(Finding(Kind.SUSPECT, f"snapshots/{candidate.id}", "; ".join(reasons)))
        run.recorder.record("snapshot.suspected", snapshot=candidate.id, reasons=list(reasons))


def _ask_to_confirm(run: Run, observed: tuple[Group, ...], odd: tuple[str, ...], late: Sequence[Candidate]) -> None:
    if observed:
        shown = "; ".join(f"{host}: {', '.join(paths)}" for host, paths in observed)
        if odd:
            more = f" and {len(odd) - NAMED} more" if len(odd) > NAMED else ""
            shown += f". On some days there came more than is usual: {', '.join(odd[:NAMED])}{more}"
        if late:
            more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
            each = ", ".join(f"{one.id[: run.digits]} of {to_minute(one.time)}" for one in late[:NAMED])
            shown += f". {counted(len(late), 'snapshot')} came days after the time that they claim, and others did not: {each}{more}"
        evidence = hashlib.sha256(repr(observed).encode()).hexdigest()[:16]
        run.findings.append(Finding(Kind.CONFIRM, run.job.name, shown, evidence))


def _policy(run: Run, opened: Opened, shown: Shown, verdict: Verdict) -> tuple[str, ...]:
    """Ask restic's own policy, on a view that shows the counting snapshots alone."""
    counting = {candidate.id for candidate in verdict.counting}
    if not counting:
        return ()
    view = View(shown, hidden=[key for key, _ in shown.below("snapshots/") if short(key) not in counting])
    with run.serve(view, Permissions()) as server:
        proposal = restic.parse_policy(run.demand(server, opened, restic.policy_argv(run.job.keep)))
    for snapshot, reasons in proposal.keep.items():
        run.recorder.record("snapshot.kept", snapshot=snapshot, reasons=list(reasons))
    return tuple(snapshot for snapshot in proposal.remove if snapshot in counting)
