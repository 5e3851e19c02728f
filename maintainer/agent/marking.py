"""What a run lets go of in the bucket, once it has committed: markers over what is due, and tags on what may expire."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import islice
from random import SystemRandom

from maintainer.agent.revert import carry_out, make_plan
from maintainer.agent.run import Opened, Run, short
from maintainer.core.errors import StoreError
from maintainer.core.findings import Finding, Kind
from maintainer.core.moments import to_minute
from maintainer.core.records import State
from maintainer.core.repofiles import MAXIMA, FileType
from maintainer.core.revert import Mark, is_overdue
from maintainer.core.versions import histories
from maintainer.edges.inorder import in_order
from maintainer.format.files import parse_lock

FRESH = timedelta(minutes=30)
"""restic refreshes its locks every five minutes, and calls one stale that is older than this."""
MOST_LOCKS = 100
"""How many locks a run looks into: a host may put any number."""
MOST_COMPARED = 100
"""How many good versions have their tags looked at in a night: a request for each."""
READERS = 8


def packs_aside(run: Run, mark: Mark) -> bool:
    """Leave doomed packs to the end of the run: what has arrived since may need them, and only admission can tell."""
    return not _is_pack(mark) or run.fold.records.state_of(mark.over.key) is not State.DOOMED


def _is_pack(mark: Mark) -> bool:
    return mark.over.key.startswith(f"{FileType.PACK.value}/")


def mark(run: Run, opened: Opened) -> None:
    """Mark all that is due. A snapshot that nobody knows yet postpones packs, up to a limit: it may need them. So does a live backup."""
    plan, unknown, busy = make_plan(run), "", ""
    if any(map(_is_pack, plan.mark.values())):
        unknown = next((key for key in run.store.current_keys("snapshots/") if key not in run.fold.records), "")
        busy = _who_backs_up(run, opened)
        if unknown or busy:
            run.recorder.record("marking.postponed", reason=f"{short(unknown)} arrived meanwhile" if unknown else busy)
    terms = run.terms()
    carry_out(
        run,
        replace(plan, heal={}),
        lambda mark: not _is_pack(mark) or not (unknown or busy) or is_overdue(mark.over.key, run.fold, terms),
    )


def _who_backs_up(run: Run, opened: Opened) -> str:
    """Return whose backup is going on by the bucket's locks: a fresh one, not exclusive. Garbage tells nothing.

    restic refreshes a lock by putting another. So its object's date says how old it is, whatever time the host claims.
    """
    for history in islice(histories(run.store.survey(f"{FileType.LOCK.value}/")), MOST_LOCKS):
        current = history.current
        if current.is_marker or current.size > MAXIMA[FileType.CONFIG]:
            continue
        try:
            lock = parse_lock(opened.master, run.store.read(current, MAXIMA[FileType.CONFIG]))
        except ValueError:
            continue
        if not lock.exclusive and run.now - current.last_modified < FRESH:
            return f"a backup of {lock.host!r} is going on, by its lock of {to_minute(current.last_modified)}"
    return ""


def _is_pinned(run: Run, key: str, version_id: str) -> bool:
    return (truth := run.standing.get(key)) is not None and truth.version.version_id == version_id


def compare_tags(run: Run) -> None:
    """Look at the tags of some of what is good, drawn anew each night: nothing of it was released, and what says so would expire.

    A host has no right to tag; whoever else has it could let good versions expire while no run looks.
    """
    chosen = set(SystemRandom().sample(range(len(run.standing)), min(MOST_COMPARED, len(run.standing))))
    versions = [truth.version for number, truth in enumerate(run.standing.values()) if number in chosen]
    wrong = compared = 0
    for version, is_released in in_order(run.store.is_released, versions, READERS, "tags"):
        if is_released is None:  # a store without tags, or without the right to see them: doctor says so
            return
        compared += 1
        if is_released and version.version_id not in run.fold.released.get(version.key, ()):
            wrong += 1
            run.findings.append(Finding(Kind.MIGHT_EXPIRE, version.key, "", version.version_id))
            run.store.keep(version)
    run.recorder.record("tags.compared", versions=compared, wrong=wrong)


def tag(run: Run) -> None:
    """Let what commits released expire: this one's, and those of runs that died before they had said that it was done, or failed at it.

    AccessDeniedError names the right that is missing. A store that knows no tags is told of, and nothing expires in it.
    """
    if not run.fold.releases:
        return
    done = run.state.tagged()
    for run_id, released in run.fold.releases:
        if run_id in done:
            continue
        versions = [(key, version) for key, versions in released.items() for version in versions if not _is_pinned(run, key, version)]
        try:
            run.store.release(versions)
        except StoreError as error:
            run.recorder.record("release.failed", reason=error.message)
            return
        run.state.say_tagged(run_id)
        run.recorder.record("versions.released", versions=len(versions))
