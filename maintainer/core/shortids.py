"""Ids as screens show them: cut to as many digits as no other id of the repository shares.

Who chooses 2^32 contents finds two ids that share 8 digits, in minutes. So the digits are counted over all that is in the repository or
in its ledger, whatever its state, and not only over what a screen shows.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from maintainer.core.repofiles import parse_key

LEAST = 8
"""Digits, as many as restic shows."""
WHOLE = 64
_PRINT = 16
"""Digits by which ids are compared at first: they fit eight bytes, and there may be a million ids."""

AMBIGUOUS = 5
"""How many keys are named that an id may mean."""

Keys = Callable[[], Iterable[str]]
"""Yields distinct keys, each time that it is called."""


def digits(keys: Keys) -> int:
    """Return how many digits tell the ids of all these keys apart, `LEAST` at least. Names that restic would not give have none."""
    prints = array("Q", sorted(int(one[:_PRINT], 16) for one in _ids(keys())))
    shared, same = 0, set()
    for before, after in pairwise(prints):
        if before == after:
            same.add(before)
        else:
            shared = max(shared, _PRINT - ((before ^ after).bit_length() + 3) // 4)
    if same:
        alike = sorted(one for one in _ids(keys()) if int(one[:_PRINT], 16) in same)
        shared = max(_shared(before, after) for before, after in pairwise(alike))
    return min(max(LEAST, shared + 1), WHOLE)


def shortened(key: str, length: int = LEAST) -> str:
    """Return a key as a screen shows it: its folder, and so many digits of its id; one that restic would not give stays whole."""
    file = parse_key(key)
    return key if file is None or not file.id else f"{file.type.value}/{file.id[:length]}"


def several(keys: Sequence[str]) -> str:
    """Say that an id means several of these keys, and how each of the first few is meant alone."""
    length = digits(lambda: keys)
    more = f" and {len(keys) - AMBIGUOUS} more" if len(keys) > AMBIGUOUS else ""
    return f"{', '.join(shortened(key, length) for key in sorted(keys)[:AMBIGUOUS])}{more} begin so"


def _ids(keys: Iterable[str]) -> Iterator[str]:
    return (file.id for file in map(parse_key, keys) if file is not None and file.id)


def _shared(one: str, other: str) -> int:
    return next((number for number, (a, b) in enumerate(zip(one, other, strict=True)) if a != b), 0)
