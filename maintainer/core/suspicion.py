"""What speaks against a snapshot, in classes: a person looks at, and decides on, a class at a time."""

from __future__ import annotations

import re
from enum import Enum


class Suspicion(Enum):
    """A class of reasons; the value is its name on screens and in `maintainer endorse REPOSITORY CLASS`."""

    CROWDED = "crowded"
    CAME_LATE = "came-late"
    AHEAD = "clock-ahead"
    BACKDATED = "backdated"
    UNEXPECTED = "not-expected"
    SHRUNK = "shrunk"
    REWRITTEN = "rewritten"
    REPLACED = "replaced"
    HIDDEN = "was-hidden"
    OTHER = "other"


_WORDS = {
    Suspicion.CROWDED: r"one of \d+ within a day",
    Suspicion.CAME_LATE: r"it came \d+ days after the time that it claims",
    Suspicion.AHEAD: r"claims .*, but was there at ",
    Suspicion.BACKDATED: r"claims .*, more than \d+ days before it arrived",
    Suspicion.UNEXPECTED: r"host .* is not expected",
    Suspicion.SHRUNK: r"holds .*: it has shrunk",
    Suspicion.REWRITTEN: r"holds .*: it was rewritten",
    Suspicion.REPLACED: r"holds .*: it was replaced",
    Suspicion.HIDDEN: r"it was hidden before first contact|undeleted by ",
}
_CLASSES = tuple((suspicion, re.compile(words, re.DOTALL)) for suspicion, words in _WORDS.items())


def suspicion(reason: str) -> Suspicion:
    """Return the class of a reason, as `core.retention` words it; of several that were joined, that of the first."""
    return next((one for one, words in _CLASSES if words.match(reason)), Suspicion.OTHER)
