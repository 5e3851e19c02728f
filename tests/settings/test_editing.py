"""A configuration is changed where it must be, and every other byte of it stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.settings import editing
from maintainer.settings.load import load
from tests.settings.test_load import GOOD

BLOCK = """
[[repository]]
name = "new"
location = "s3:https://s3.amazonaws.com/acme-backups/new"
password = "file:/etc/maintainer/new"
"""
BEGINNINGS = pytest.mark.parametrize("begin", ["", editing.MARK], ids=["plain", "with a mark"])
ENDS = pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
LAST = pytest.mark.parametrize("last", ["\n", "", "\n# the end", "\n\n"], ids=["a newline", "none", "a comment", "an empty line"])


def written(path: Path, begin: str, newline: str, last: str, text: str = GOOD) -> bytes:
    body = (begin + (text.rstrip("\n") + last).replace("\n", newline)).encode()
    path.write_bytes(body)
    return body


@BEGINNINGS
@ENDS
@LAST
def test_a_table_is_added_at_the_end_and_all_before_it_stays(tmp_path: Path, begin: str, newline: str, last: str) -> None:
    path = tmp_path / "maintainer.toml"
    before = written(path, begin, newline, last)
    assert editing.append(path, BLOCK)
    after = path.read_bytes()
    assert after.startswith(before)
    assert after[len(before) :] == BLOCK.replace("\n", newline).encode()
    assert [one.name for one in load(path).repositories] == ["web", "new"]


@BEGINNINGS
@ENDS
@LAST
@pytest.mark.parametrize("odd", ["", "# a \u2028 b \u0085 c \x0c d\n"], ids=["plain", "with ends of lines that are none"])
def test_a_line_is_set_and_no_other_changes(tmp_path: Path, begin: str, newline: str, last: str, odd: str) -> None:
    path = tmp_path / "maintainer.toml"
    text = odd.replace("\x0c", "") + GOOD
    before = written(path, begin, newline, last, text)
    for date in ("2031-12-31", "2032-12-31"):
        assert editing.set_in_repository(path, "web", "keep_until", date)
        lines = path.read_bytes().split(newline.encode())
        lines.remove(f"keep_until = {date}".encode())
        assert newline.encode().join(lines) == before
        assert load(path).repositories[0].keep_until == date


def test_a_key_is_set_behind_a_name_that_is_the_last_line(tmp_path: Path) -> None:
    path = tmp_path / "maintainer.toml"
    head, _, table = GOOD.partition("[[repository]]")
    lines = [line for line in table.split("\n") if line and not line.startswith(("name", "["))]
    rest = [line for line in lines if "keep" not in line and "expect" not in line]
    flat = "\n".join(line for line in rest if line.partition(" ")[0] in {"location", "password", "grace"})
    path.write_text(f'{head}[[repository]]\n{flat}\nname = "web"')
    assert editing.set_in_repository(path, "web", "keep_until", "2031-12-31")
    assert load(path).repositories[0].keep_until == "2031-12-31"


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_is_quoted_so_that_toml_reads_it_back(text: str) -> None:

    assert tomllib.loads(f"x = {editing.quoted(text)}")["x"] == text
