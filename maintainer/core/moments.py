"""Moments as text: RFC 3339, UTC, whole microseconds, so that the text sorts as the moments do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)", re.ASCII)


def to_text(moment: datetime) -> str:
    """Write an aware moment, in 27 characters."""
    return f"{moment.astimezone(UTC).isoformat(timespec='microseconds').removesuffix('+00:00')}Z"


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote, or any RFC 3339 text such as restic's (its nanoseconds are cut); ValueError for anything else.

    Go, which restic is written in, takes any year of four digits in any zone. A moment that is before the year 1 or after the year 9999 in
    UTC becomes EARLIEST or LATEST.
    """
    found = _RFC3339.fullmatch(text)
    if found is None:
        raise ValueError(f"no time as RFC 3339 writes it: {text[:40]!r}")
    if text.startswith("0000"):
        return EARLIEST
    moment = datetime.fromisoformat(f"{found[1]}.{(found[2] or '')[:6]:0<6}{found[3]}")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return EARLIEST if moment.year == EARLIEST.year else LATEST


def to_minute(moment: datetime) -> str:
    """Write a moment for people, as `2026-11-30 03:31`."""
    return to_text(moment)[:16].replace("T", " ")


def earlier(moment: datetime, span: timedelta) -> datetime:
    """Return the moment so long before another; EARLIEST where there is none."""
    return moment - span if moment - EARLIEST > span else EARLIEST


def later(moment: datetime, span: timedelta) -> datetime:
    """Return the moment so long after another; LATEST where there is none."""
    return moment + span if LATEST - moment > span else LATEST
