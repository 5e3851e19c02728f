"""Carrying out a revert plan: heal, then mark, and keep the picture of the bucket up to date."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from maintainer.agent.run import Run
from maintainer.core.records import State
from maintainer.core.repofiles import FileType
from maintainer.core.revert import Heal, RevertPlan, Truth, plan_revert
from maintainer.core.versions import ObjectVersion

WORKERS = 8


def make_plan(run: Run) -> RevertPlan:
    """Plan against the picture as it now is; looks that the plan will ask for are made ahead, many at a time."""
    run.looks.ahead(_unknown(run))
    plan = plan_revert(run.histories, run.fold, run.looks, run.terms())
    run.recorder.record("plan.made", heal=len(plan.heal), mark=len(plan.mark), evict=len(plan.evict), new=len(plan.new))
    return plan


def _unknown(run: Run) -> list[ObjectVersion]:
    """Return the current versions that the ledger has not pinned."""
    wanted: list[ObjectVersion] = []
    for history in run.histories.values():
        record, file, current = run.fold.records.get(history.key), history.file, history.current
        if file is None or file.type in (FileType.LOCK, FileType.CONFIG) or current.is_marker or run.looks.knows(current):
            continue
        if record is None or (record.state is State.ADMITTED and record.version != current.version_id and record.size == current.size):
            wanted.append(current)
    return wanted


def carry_out(run: Run, plan: RevertPlan) -> None:
    """Heal and mark. Nothing here needs a password, a lock, or restic."""
    run.standing = dict(plan.standing)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="heal") as pool:
        for heal, made in pool.map(lambda heal: (heal, run.store.heal(heal.source, _digest(run, heal))), plan.heal):
            key = heal.source.key
            run.looks.learn(made, _digest(run, heal))
            run.put_on_top(made)
            run.standing[key] = Truth(made, plan.standing[key].first_seen)
            run.recorder.record(
                "object.healed",
                key=key,
                from_version=heal.source.version_id,
                to_version=made.version_id,
                over=heal.over.version_id,
                why=heal.why.value,
            )
    if plan.mark:
        run.check_head()
    for mark in plan.mark:
        key = mark.over.key
        marker = run.store.mark(key)
        run.put_on_top(ObjectVersion(key, marker, is_marker=True, size=0, last_modified=run.now))
        run.standing.pop(key, None)
        run.recorder.record("object.marked", key=key, over=mark.over.version_id, why=mark.why)


def _digest(run: Run, heal: Heal) -> str:
    key = heal.source.key
    record = run.fold.records.get(key)
    return record.digest if record is not None and record.digest else key.rpartition("/")[2]
