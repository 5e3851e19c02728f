"""Events are read back as written, hostile text is escaped once where they are decoded, and a gap is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import EventError, ExitCode, first
from maintainer.core.events import Event, decode, encode, escape

FIELDS = {"key": "x", "from_version": "1", "to_version": "2", "over": "3", "why": "overwritten"}
EVENT = Event("2026-01-01T00:00:00.000000Z", "r", "agent", 1, "object.healed", "warning", "web", "revert", FIELDS)


@given(st.text())
def test_hostile_text_is_escaped_and_the_stream_stays_one_line(text: str) -> None:
    line = encode(replace(EVENT, fields={**FIELDS, "key": text, "reasons": [text]}))
    assert "\n" not in line
    assert line.isascii()
    read = decode(line)
    assert read.fields == {**FIELDS, "key": escape(text), "reasons": [escape(text)]}
    assert escape(text).isprintable()


def test_a_terminal_escape_is_shown_and_not_obeyed() -> None:
    assert escape("\x1b[31m\n\u202e") == "\\x1b[31m\\n\\u202e"


@pytest.mark.parametrize(
    "line", ["", "{}", "[]", '{"v":2}', encode(EVENT).replace("object.healed", "object.stolen"), "x" * 999, "[" * 99_999]
)
def test_what_is_no_event_is_refused(line: str) -> None:
    with pytest.raises(EventError):
        decode(line)


def test_of_several_repositories_the_gravest_outcome_is_the_runs() -> None:
    order = [6, 4, 1, 5, 2, 3, 0]
    assert [first([ExitCode(code) for code in order[number:]]) for number in range(7)] == order
