"""A repository seen and judged without changing anything: for `maintainer plan` and `maintainer serve`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from maintainer.agent import forgetting, unlock
from maintainer.agent.forgetting import Judged
from maintainer.agent.pipeline import tell
from maintainer.agent.revert import make_plan
from maintainer.agent.run import Run
from maintainer.core import findings, retention
from maintainer.core.errors import ExitCode
from maintainer.core.moments import to_text
from maintainer.core.repofiles import FileType
from maintainer.core.revert import RevertPlan
from maintainer.core.view import Layers, Shown, Standing
from maintainer.edges.shelves import ShownShelf


def look(run: Run, password: Callable[[], str]) -> RevertPlan:
    """Survey, read the ledger and plan. Before the first contact the pins are held in memory alone."""
    with run.recorder.step("survey"):
        run.survey()
        run.read_ledger()
    with run.recorder.step("revert"):
        unlock.refuse_another(run, password)
        run.may_mark = not (run.fold.is_first_contact and unlock.has_earlier_identity(run))
        if run.fold.head[0] == 0:
            run.ledger.suppose(unlock.pin(run, password()))
        plan = make_plan(run)
        run.standing = plan.standing
    return plan


def plan_alone(run: Run, password: Callable[[], str]) -> ExitCode:
    """Say what a run would heal, mark, evict and forget, and why. What is new is not proved here, and so not judged."""
    plan = look(run, password)
    if not run.may_mark:
        tell(run, findings.Reported(unlock.EARLIER, "", findings.Standing.NEW))
    for heal in plan.heal.values():
        run.recorder.record(
            "heal.planned", key=heal.source.key, from_version=heal.source.version_id, over=heal.over.version_id, why=heal.why.value
        )
    for mark in plan.mark.values():
        run.recorder.record("mark.planned", key=mark.over.key, over=mark.over.version_id, why=mark.why)
    for key, why in plan.evict.items():
        run.recorder.record("eviction.planned", key=key, why=why)
    _judge(run, password)
    run.recorder.record("plan.finished", heal=len(plan.heal), mark=len(plan.mark), evict=len(plan.evict), new=len(plan.new))
    return ExitCode.COMMITTED


def _judge(run: Run, password: Callable[[], str]) -> None:
    """Say of every admitted snapshot how it stands, what probation means for each host, and what a run would forget."""
    if next(run.admitted(FileType.SNAPSHOT).below(), None) is None:
        return
    found = judged(run, password)
    verdict, probation = found.verdict, run.job.probation
    for group in retention.groups(found.candidates) if verdict.extents else ():
        waiting = sorted(one.first_seen for one in verdict.in_probation if one.group == group)
        run.recorder.record(
            "probation.explained",
            host=group[0],
            paths=list(group[1]),
            days=probation / timedelta(days=1),
            waiting=len(waiting),
            counting=sum(one.group == group for one in verdict.counting),
            suspect=sum(one.group == group for one, _ in verdict.suspect),
            next=to_text(waiting[0] + probation) if waiting else "",
        )
    for candidate, reasons in verdict.suspect:
        run.recorder.record("suspicion.explained", snapshot=candidate.id, reasons=list(reasons))
    for candidate in found.candidates:
        if candidate.id in found.forget:
            run.recorder.record("forget.planned", snapshot=candidate.id, time=to_text(candidate.time), host=candidate.host)


def judged(run: Run, password: Callable[[], str]) -> Judged:
    """Return how snapshots stand after a look, as a run would judge them; what is new since the last run is not among them."""
    opened = unlock.open_pinned(run, password())
    return forgetting.judge(run, opened, run.shown(opened), remember=False)


def verified(run: Run, password: Callable[[], str]) -> Shown:
    """Return what a reader may be shown: every admitted object in its true version, also in the middle of an attack.

    Before the first contact, everything true.
    """
    look(run, password)
    opened = unlock.open_pinned(run, password())
    if run.fold.head[0]:
        return ShownShelf(run.shown(opened))
    return ShownShelf(Layers(run.base(opened), Standing(run.standing, (FileType.PACK, FileType.INDEX, FileType.SNAPSHOT))))
