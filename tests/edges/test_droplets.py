"""Marks as a droplet's tag: whatever they are, the API takes it, and they are read back."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import ConfigurationError
from maintainer.core.moments import to_text
from maintainer.edges.compute import controllers
from maintainer.edges.compute.droplets import LONGEST_TAG, marks_of, owner_tag, tag_of
from maintainer.edges.compute.shapes import Marks
from maintainer.edges.statestore import new_run_id

MOMENTS = st.integers(1_600_000_000, 4_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(st.text(max_size=20), st.text(max_size=10), st.text(max_size=5), MOMENTS, st.text(max_size=5))
def test_marks_are_read_back_from_a_tag_that_the_api_takes(owner: str, run: str, group: str, deadline: datetime, controller: str) -> None:
    marks = Marks(owner, run, group, to_text(deadline), controller)
    tag = tag_of(marks)
    assert re.fullmatch(r"[a-z0-9_\-:]{1,255}", tag), "capitals would be another tag's"
    assert tag.startswith(owner_tag(owner) + ":")
    assert marks_of(tag) == Marks(owner_tag(owner), run, group, to_text(deadline), controller)


def test_what_is_usual_fits_and_what_does_not_is_told() -> None:
    usual = Marks("s3://state/prod", f"{new_run_id('2026-01-01T00:00:00.000000Z')}-12", "a" * 64, "2026-01-01T00:00:00.000000Z", "")
    here = controllers.here()
    assert len(tag_of(Marks(usual.owner, usual.run_id, usual.group, usual.deadline, here))) <= LONGEST_TAG
    with pytest.raises(ConfigurationError, match="too long for a tag"):
        tag_of(Marks(usual.owner, usual.run_id, "." * 64, usual.deadline, here))
