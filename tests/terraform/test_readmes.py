"""The READMEs of modules and examples say what their files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.moduledocs import readmes, written
from tests.support.terraform import TREE


@pytest.mark.parametrize("readme", list(readmes()), ids=lambda path: path.parent.name)
def test_tables_are_those_of_the_files(readme: Path) -> None:
    assert readme.read_text(encoding="utf-8") == written(readme), "python -m tests.support.moduledocs writes them anew"


@pytest.mark.parametrize("readme", list(readmes()), ids=lambda path: path.parent.name)
def test_a_readme_has_a_diagram_and_says_what_it_costs(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    assert "```\n" in text
    assert "## Cost" in text


def test_every_folder_is_in_the_index() -> None:
    index = (TREE / "README.md").read_text(encoding="utf-8")
    assert [readme.parent.name for readme in readmes() if f"]({readme.parent.relative_to(TREE)})" not in index] == []
