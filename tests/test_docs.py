"""The figures of the documentation are those of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from maintainer.core.job import Keep, Place, RepositoryJob
from maintainer.core.retention import Limits
from maintainer.core.revert import Terms
from maintainer.drill.catalogue import CATALOGUE
from tests.support.fakestore import WHEN

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/attacks.md").read_text()
JOB = RepositoryJob("web", Place("b"), "", Keep())
LIMITS = Limits()


@pytest.mark.parametrize(
    "says",
    [
        f"under your own policy: {len(CATALOGUE)} attacks",
        f"| seen for | {JOB.probation.days} days |",
        f"by at most | {LIMITS.skew.seconds // 60} minutes |",
        f"by at most | {LIMITS.longest_backup.days} days |",
        f"{LIMITS.per_day_at_first} while less than 3 days",
        f"the median of the {LIMITS.history} before",
        f"where usual is below {LIMITS.telling_share:.0%}".replace("%", " %"),
        f"{JOB.at_least} counting snapshots of a host and paths always stay",
        f"for `answer` ({JOB.answer.days} days)",
        f"for {Terms(WHEN).respect.days} days beyond their grace",
        f"noticed within {JOB.probation.days} days has cost nothing",
    ],
)
def test_the_page_of_attacks_tells_the_defaults(says: str) -> None:
    assert says in PAGE


def test_the_shares_are_those_that_it_tells_in_words() -> None:
    assert (LIMITS.collapsed_below, LIMITS.rewritten_below, JOB.share, JOB.stale_s) == (0.5, 0.25, 0.5, 7 * 86_400)


def test_the_readme_counts_the_same_attacks() -> None:
    assert f"{len(CATALOGUE)} of {len(CATALOGUE)} attacks were noticed" in (ROOT / "README.md").read_text()
