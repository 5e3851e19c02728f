"""Ids are cut to what tells them apart."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.shortids import LEAST, WHOLE, digits, shortened

PARTS = st.lists(st.sampled_from(["0" * 7, "f" * 8, "1234567890abcdef", "0", "a"]), min_size=1, max_size=9).map("".join)
IDS = PARTS.map(lambda text: (text + hashlib.sha256(text.encode()).hexdigest())[:64])


@given(st.sets(IDS, max_size=30), st.sampled_from(["snapshots", "index", "data"]))
def test_as_many_digits_as_tell_all_apart_and_no_more(ids: set[str], folder: str) -> None:
    keys = [f"data/{one[:2]}/{one}" if folder == "data" else f"{folder}/{one}" for one in ids]
    length = digits(lambda: keys)
    assert LEAST <= length <= WHOLE
    assert len({one[:length] for one in ids}) == len(ids)
    assert length == LEAST or len({one[: length - 1] for one in ids}) < len(ids)
    assert {shortened(key, length) for key in keys} == {f"{folder}/{one[:length]}" for one in ids}


def test_names_that_are_not_restic_s_have_no_digits_and_stay_whole() -> None:
    keys = ["config", "data/ab/readme", "snapshots/" + "A" * 64]
    assert digits(lambda: keys) == LEAST
    assert [shortened(key) for key in keys] == keys
