"""What fuzzers and attackers ever found, a file each: read or refused as its name says, quickly, and never more than that."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.fuzz import CORPUS
from tests.support.readers import READERS, read

FOUND = sorted(CORPUS.glob("*/*"))
MOST_S = 5
"""Processor time for 100 KB at most: none needs a tenth of it."""


@pytest.mark.parametrize("path", FOUND, ids=[f"{path.parent.name}/{path.name}" for path in FOUND])
def test_a_find_is_what_its_name_says(path: Path) -> None:
    started = time.process_time()
    made = read(path.parent.name.replace("-", " "), path.read_bytes())
    assert time.process_time() - started < MOST_S
    if path.name.startswith(("read-", "refused-")):
        assert (made is None) == path.name.startswith("refused-")
    else:
        assert path.name.startswith("found-"), "as script/fuzz names it"


def test_each_kind_has_its_finds() -> None:
    assert {path.parent.name for path in FOUND} == {kind.replace(" ", "-") for kind in READERS}
