"""What of the packs was read, and when: a version never changes, so one that was read and verified is proved, until it is read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from maintainer.core.moments import from_text
from maintainer.core.records import Record, State


@dataclass(frozen=True, slots=True)
class Reading:
    """What a committed run had read of its packs, at admission or in its check, and how much there was."""

    at: str
    packs: int
    bytes: int
    of_packs: int
    of_bytes: int

    @property
    def is_whole(self) -> bool:
        """Tell whether it left nothing out."""
        return self.packs == self.of_packs


def reading(at: str, checked: Mapping[str, int]) -> Reading:
    """Return the reading of an entry that says it was checked so; an entry of a release that always read everything says no more."""
    packs, size = checked.get("packs", 0), checked.get("bytes", 0)
    return Reading(at, packs, size, checked.get("of_packs", packs), checked.get("of_bytes", size))


def with_reading(before: Sequence[Reading], new: Reading) -> tuple[Reading, ...]:
    """Return the readings that still count, oldest first: the last that was whole, and those since."""
    return (new,) if new.is_whole else (*before, new)


def is_due(readings: Sequence[Reading], every: timedelta, now: datetime) -> bool:
    """Tell whether everything must be read again: it never was, or not for so long."""
    return not readings or not readings[0].is_whole or from_text(readings[0].at) + every <= now


def is_unread(record: Record | None, version_id: str) -> bool:
    """Tell whether nothing has read this version of a pack yet.

    The ledger admits no pack that was not read at the version it pins, unless it says so; what was healed or repacked since stands
    under another.
    """
    return record is None or record.state is not State.ADMITTED or record.version != version_id or record.unread
