"""Moments as text: RFC 3339, UTC, whole microseconds, so that the text sorts as the moments do."""

from __future__ import annotations

from datetime import UTC, datetime


def to_text(moment: datetime) -> str:
    """Write an aware moment."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote, or any RFC 3339 text such as restic's (its nanoseconds are cut); ValueError for anything else."""
    head, dot, rest = text.partition(".")
    if dot:
        fraction = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{fraction[:6]:0<6}{rest[len(fraction) :]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"no time zone: {text!r}")
    return moment.astimezone(UTC)
