"""Which versions may expire: what an earlier committed run marked or replaced, once its report could be answered. Nothing pinned, ever."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice, pairwise

from maintainer.core.entries import REJECTED
from maintainer.core.findings import Standing
from maintainer.core.ledger import Fold
from maintainer.core.records import ADOPTED, Record, State
from maintainer.core.repofiles import FileType
from maintainer.core.revert import Terms, what_holds
from maintainer.core.versions import KeyHistory, ObjectVersion

MOST_RELEASED = 100_000
"""Versions that one commit releases: an entry holds their ids. What is left is released by the next nights' commits."""


def plan_release(histories: Iterable[KeyHistory], fold: Fold, terms: Terms, most: int = MOST_RELEASED) -> dict[str, tuple[str, ...]]:
    """Return the version ids to release, by key, that no commit has released before: no more than `most`, and as many keys as that takes.

    What the ledger does not know is never released, nor what was evicted, unless a person rejected it: it is evidence.
    """
    held = what_holds(fold, terms)
    settled = frozenset(r.finding.subject for r in fold.findings.values() if r.standing is Standing.ACKNOWLEDGED)
    found: dict[str, tuple[str, ...]] = {}
    left = most
    for history in histories:
        if left <= 0:
            break
        record, file = fold.records.get(history.key), history.file
        if record is None or file is None:
            continue
        if file.type is FileType.PACK and record.state is State.DOOMED and held.why(record, terms):
            continue
        is_admitted = record.state is State.ADMITTED
        versions = _replaced(history, record, fold, terms, settled) if is_admitted else _gone(history, record, terms)
        done = fold.released.get(history.key, frozenset())
        if fresh := tuple(islice((version.version_id for version in versions if version.version_id not in done), left)):
            found[history.key] = fresh
            left -= len(fresh)
    return found


def _gone(history: KeyHistory, record: Record, terms: Terms) -> Iterator[ObjectVersion]:
    """Yield all of a key that is marked, and was doomed by a commit that is old enough."""
    may_go = record.state is State.DOOMED or record.reason.startswith(REJECTED)
    if may_go and record.reason != ADOPTED and history.current.is_marker and record.since + terms.answer <= terms.now:
        yield from history.contents()


def _replaced(history: KeyHistory, record: Record, fold: Fold, terms: Terms, settled: AbstractSet[str]) -> Iterator[ObjectVersion]:
    """Yield what lies below the pinned version, where that is on top, and was told of by a commit that is old enough or is settled."""
    if history.current.version_id != record.version:
        return
    for above, version in pairwise(history.versions):
        if version.is_marker or version.version_id == record.version:
            continue
        told = _told(fold.commits, above.last_modified)
        if told is not None and (told + terms.answer <= terms.now or history.key in settled):
            yield version


def _told(commits: tuple[datetime, ...], since: datetime) -> datetime | None:
    """Return when a commit first spoke of what happened then."""
    at = bisect_left(commits, since)
    return commits[at] if at < len(commits) else None


def earliest_loss(
    histories: Iterable[KeyHistory], released: Mapping[str, AbstractSet[str]], days: int, *, now: datetime
) -> tuple[str, datetime] | None:
    """Return what a rule would take first that expires every noncurrent version after so many days, and when: of what was not released."""
    dates = (
        (above.last_modified + timedelta(days=days), history.key)
        for history in histories
        if history.file is not None and history.file.type is not FileType.LOCK
        for above, version in pairwise(history.versions)
        if not version.is_marker and version.version_id not in released.get(history.key, ())
    )
    first = min((one for one in dates if one[0] > now), default=None)
    return (first[1], first[0]) if first else None
