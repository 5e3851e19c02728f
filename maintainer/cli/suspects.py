"""Suspect snapshots by class or by time, for `maintainer endorse`: looked at as a run would, so that a person decides on what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime

from maintainer.agent.picture import judged, look
from maintainer.agent.run import Run
from maintainer.core.amounts import size
from maintainer.core.moments import to_minute
from maintainer.core.records import Extent
from maintainer.core.retention import Candidate
from maintainer.core.shortids import shortened
from maintainer.core.suspicion import Suspicion, suspicion

CLASSES = tuple(one.value for one in Suspicion)
_SPAN = re.compile(r"(\d{4}-\d\d-\d\d)(?:\.\.(\d{4}-\d\d-\d\d))?")
_FIRST, _LAST = date.min, date.max


def is_class_or_span(word: str) -> bool:
    """Tell whether a word names a class of suspects, or a day, or a span of days; ids have no such form."""
    return word in CLASSES or _span(word) is not None


def _span(word: str) -> tuple[date, date] | None:
    found = _SPAN.fullmatch(word)
    try:
        return (date.fromisoformat(found[1]), date.fromisoformat(found[2] or found[1])) if found else None
    except ValueError:
        return None


def chosen(run: Run, password: Callable[[], str], words: Iterable[str]) -> dict[str, str]:
    """Return the suspect snapshots that a class or a span of days (UTC, by the time that they claim) names: by key, how each is."""
    wanted = tuple(words)
    look(run, password)
    verdict = judged(run, password).verdict
    return {
        f"snapshots/{one.id}": _described(run, one, verdict.extents.get(one.id), reasons)
        for one, reasons in verdict.suspect
        if any(_is_meant(word, one.time, reasons) for word in wanted)
    }


def _is_meant(word: str, time: datetime, reasons: Iterable[str]) -> bool:
    first, last = _span(word) or (_LAST, _FIRST)
    return any(suspicion(reason).value == word for reason in reasons) or first <= time.astimezone(UTC).date() <= last


def _described(run: Run, one: Candidate, extent: Extent | None, reasons: Iterable[str]) -> str:
    """Say of whom a snapshot is, how large, how that is beside the one before it, and what speaks against it."""
    name = shortened(f"snapshots/{one.id}", run.digits)
    return f"{name} of {to_minute(one.time)} by {one.host}, {', '.join(_sizes(extent))}: {'; '.join(reasons)}"


def _sizes(extent: Extent | None) -> Iterator[str]:
    if extent is None:
        yield "not measured yet"
        return
    yield size(extent.size)
    if extent.base:
        yield f"beside {size(extent.base)} before it, of which it holds {extent.shared / extent.base:.0%}"
