"""The figures of the documentation are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintainer.core.job import Keep, Place, RepositoryJob
from maintainer.core.retention import Limits
from maintainer.core.revert import Terms
from maintainer.drill.catalogue import CATALOGUE
from maintainer.settings.load import load
from tests.support.fakestore import WHEN

ROOT = Path(__file__).parents[1]
PAGE = " ".join((ROOT / "docs/attacks.md").read_text().split())
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


PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "terraform").rglob("README.md"),
]


def prose(page: Path) -> Iterator[str]:
    """Yield the lines that are neither of a table nor of a block of code."""
    is_code = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith("|"):
            yield line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_fit_a_terminal_and_links_lead_somewhere(page: Path) -> None:
    lines = list(prose(page))
    assert [line for line in lines if len(line) > 100 and " " in line] == []
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", "\n".join(lines)):
        assert (page.parent / target).exists(), target


def test_every_line_of_the_readme_fits() -> None:
    assert [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if len(line) > 100] == []


def test_the_configuration_that_the_readme_shows_is_taken_and_as_short_as_it_says(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(block.splitlines()) <= 12
    (tmp_path / "maintainer.toml").write_text(block, encoding="utf-8")
    assert [one.name for one in load(tmp_path / "maintainer.toml").repositories] == ["web"]
