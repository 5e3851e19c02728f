"""Carrying out a revert plan: heal, then mark, and keep the picture of the bucket up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from maintainer.agent.run import Run
from maintainer.core.findings import Finding
from maintainer.core.records import State
from maintainer.core.repofiles import FileType
from maintainer.core.revert import Heal, Into, Mark, RevertPlan, Truth, may_be_true, plan_revert
from maintainer.core.versions import ObjectVersion
from maintainer.edges import shelves
from maintainer.edges.inorder import in_order

WORKERS = 8


def make_plan(run: Run, is_told: Callable[[Finding], bool] = lambda _: False) -> RevertPlan:
    """Plan against the picture as it now is, and report what is found, if it is to be told.

    Looks that the plan will ask for are made ahead, many at a time.
    """

    def find(finding: Finding) -> None:
        if is_told(finding):
            run.findings.append(finding)

    run.looks.ahead(_unknown(run))
    plan = plan_revert(
        run.histories, run.fold, run.looks, run.terms(), Into(find, shelves.truths(), shelves.heals(), shelves.marks(), shelves.words())
    )
    counts = {"heal": len(plan.heal), "mark": len(plan.mark), "evict": len(plan.evict), "new": len(plan.new)}
    run.recorder.record("plan.made", **counts, stored=plan.stored, kept=plan.kept)
    return plan


def _unknown(run: Run) -> Iterator[ObjectVersion]:
    """Yield the current versions that the ledger has not pinned."""
    for history in run.histories.values():
        record, file, current = run.fold.records.get(history.key), history.file, history.current
        if file is None or file.type in (FileType.LOCK, FileType.CONFIG) or current.is_marker or run.looks.knows(current):
            continue
        is_open = record is None or (record.state is State.ADMITTED and record.version != current.version_id)
        if is_open and may_be_true(current, file, record):
            yield current


def carry_out(run: Run, plan: RevertPlan, may_mark: Callable[[Mark], bool]) -> None:
    """Heal, and mark what may be marked now. Nothing here needs a password, a lock, or restic."""
    run.standing = plan.standing
    wanted = ((heal, _digest(run, heal)) for heal in plan.heal.values())
    for (heal, digest), made in in_order(lambda one: run.store.heal(one[0].source, one[1]), wanted, WORKERS, "heal"):
        key = heal.source.key
        run.looks.learn(made, digest)
        run.put_on_top(made)
        run.has_healed = True
        run.standing[key] = Truth(made, plan.standing[key].first_seen)
        run.recorder.record(
            "object.healed",
            key=key,
            from_version=heal.source.version_id,
            to_version=made.version_id,
            over=heal.over.version_id,
            why=heal.why.value,
        )
    is_ours = False
    for mark in filter(may_mark, plan.mark.values()):
        if not is_ours:
            run.check_head()
            is_ours = True
        key = mark.over.key
        marker = run.store.mark(key)
        run.put_on_top(ObjectVersion(key, marker, is_marker=True, size=0, last_modified=run.now))
        run.standing.pop(key, None)
        run.recorder.record("object.marked", key=key, over=mark.over.version_id, why=mark.why)


def _digest(run: Run, heal: Heal) -> str:
    key = heal.source.key
    record = run.fold.records.get(key)
    return record.digest if record is not None and record.digest else key.rpartition("/")[2]
