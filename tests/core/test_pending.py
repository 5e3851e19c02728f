"""A finding that a person has decided on is told apart from one that waits for a person."""

from __future__ import annotations

import pytest

from maintainer.core.entries import Judgement
from maintainer.core.findings import Finding, Kind
from maintainer.core.pending import decision

SNAPSHOT = f"snapshots/{'a' * 64}"
KEY = f"keys/{'b' * 64}"


def judged(action: str, *subjects: str) -> Judgement:
    return Judgement(0, "", "2026-01-01T00:00:00Z", "ann", action, subjects)


@pytest.mark.parametrize(
    ("finding", "judgement", "is_decided"),
    [
        (Finding(Kind.CONFIRM, "web1"), judged("accept", "repository"), True),
        (Finding(Kind.HIDDEN_BEFORE, "1 snapshots"), judged("accept", "repository"), True),
        (Finding(Kind.CONFIRM, "web1"), judged("accept", KEY), False),
        (Finding(Kind.NEW_KEY, KEY), judged("accept", KEY), True),
        (Finding(Kind.OVERWRITTEN, "config", evidence="v2"), judged("accept", "config@v2"), True),
        (Finding(Kind.OVERWRITTEN, "config", evidence="v3"), judged("accept", "config@v2"), False),
        (Finding(Kind.SUSPECT, SNAPSHOT), judged("endorse", SNAPSHOT), True),
        (Finding(Kind.SUSPECT, SNAPSHOT), judged("reject", SNAPSHOT), True),
        (Finding(Kind.SUSPECT, SNAPSHOT), judged("accept", "repository"), False),
        (Finding(Kind.GARBAGE, "index/x"), judged("ack", "garbage:index/x"), True),
        (Finding(Kind.GARBAGE, "index/x"), judged("ack", "garbage:index/y"), False),
    ],
)
def test_a_judgement_decides_on_what_it_names(finding: Finding, judgement: Judgement, is_decided: bool) -> None:
    assert decision(finding, [judged("ack", "late:x"), judgement]) == (judgement if is_decided else None)
    assert decision(finding, []) is None
