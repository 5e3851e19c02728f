"""Long texts cut to what an entry, an event and a screen can hold: with their length, and a hash that tells them from others alike.

A host decides how long the texts in its snapshots are. What is cut once stays as it is when it is cut again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maintainer.core.entries import Group

LONGEST_HOST = 300
"""Characters: a name in DNS has 253 at most."""
LONGEST_PATH = 5_000
"""Characters: Linux takes 4,095 bytes."""
MOST_PATHS = 1_000
LONGEST_PATHS = 100_000
"""Characters of all paths of a snapshot together."""
MARK = 60
"""Characters that tell how much was cut, at most."""


def text(whole: str, longest: int) -> str:
    """Return a text of at most `longest` characters."""
    if len(whole) <= longest:
        return whole
    return f"{whole[: longest - MARK]}… ({len(whole)} characters, {_digest(whole)})"


def group(host: str, paths: Sequence[str]) -> Group:
    """Return a host and its paths, of which many are abridged as well as long ones."""
    cut = tuple(text(path, LONGEST_PATH) for path in paths)
    if len(cut) > MOST_PATHS or sum(map(len, cut)) > LONGEST_PATHS:
        kept: list[str] = []
        left = LONGEST_PATHS - LONGEST_PATH - MARK
        for path in cut[: MOST_PATHS - 1]:
            left -= len(path)
            if left < 0:
                break
            kept.append(path)
        whole = "\0".join(paths)
        cut = (*kept, f"… and {len(paths) - len(kept)} more ({_digest(whole)})")
    return text(host, LONGEST_HOST), cut


def _digest(whole: str) -> str:
    return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:16]
