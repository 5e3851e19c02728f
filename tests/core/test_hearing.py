"""Whatever an agent's stream holds, what is heard of it is bounded, is about its own job, and can be told; or it is broken."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.events import VOCABULARY, Event, encode
from maintainer.core.hearing import Heard
from maintainer.report.lines import Narrator
from maintainer.report.live import Board
from tests.support.grammar import fragments

CLOSED = Event("2026-01-01T00:00:00.000000Z", "r", "agent", 1, "run.closed", "info", None, None, {"exit_code": 0})
SAMPLES: dict[str, Any] = {"s": "a text", "i": 3, "n": 0.5, "x": 4, "L": ["a", "b"], "J": [1, None]}


def heard() -> Heard:
    return Heard("r", {"web", "db"})


def sample(name: str) -> dict[str, Any]:
    """Return an event of this name with all its fields, as JSON has it."""
    word = VOCABULARY[name]
    fields = {one.partition(":")[0]: SAMPLES[one.partition(":")[2][0]] for one in word.fields.split()}
    return json.loads(encode(Event(CLOSED.ts, "r", word.source or "agent", 1, name, word.level, "web", "check", fields)))  # type: ignore[arg-type,no-any-return]


def told(event: Event) -> list[str]:
    """Return what is printed of an event and the end of its run."""
    narrator, board = Narrator(), Board()
    board.see(event)
    board.table(board.rows[next(iter(board.rows))].since) if board.rows else None
    return [*narrator.lines(event), *narrator.lines(replace(CLOSED, source="controller"))]


@pytest.mark.parametrize("name", VOCABULARY)
def test_every_event_with_all_its_fields_is_heard_and_told(name: str) -> None:
    raw = sample(name)
    event = heard().take(json.dumps(raw))
    assert (event is None) == (raw["source"] == "controller")
    if event is not None:
        assert told(event)


@pytest.mark.parametrize("name", [name for name, word in VOCABULARY.items() if word.source != "controller"])
def test_one_that_lacks_a_field_or_has_another_type_there_is_none(name: str) -> None:
    raw = sample(name)
    for field in (one.partition(":") for one in VOCABULARY[name].fields.split()):
        wrongs: list[Any] = [{}, [None], float("inf"), "much"] if field[2][0] not in "JsL" else [{}, 7] if field[2][0] != "J" else []
        for wrong in wrongs:
            hears = heard()
            assert hears.take(json.dumps({**raw, field[0]: wrong})) is None
            assert hears.broken
        hears = heard()
        assert hears.take(json.dumps({key: value for key, value in raw.items() if key != field[0]})) is None
        assert hears.broken


@pytest.mark.parametrize(
    "change",
    [
        {"repository": "\x1b]0;title\x07"},
        {"repository": ["web"]},
        {"repository": "another"},
        {"run_id": "another"},
        {"run_id": 7},
        {"source": "controller"},
        {"seq": 0},
        {"seq": "1"},
        {"seq": 1 << 80},
        {"ts": "yesterday"},
        {"ts": None},
        {"step": {"a": 1}},
        {"step": "x" * 1000},
        {"level": "loud"},
        {"v": 2},
        {"v": [1]},
        {"event": "run.reopened"},
        {"event": ["run.closed"]},
        {"exit_code": 7},
        {"exit_code": True},
        {"more": "x" * (1 << 20)},
    ],
)
def test_an_envelope_that_is_not_this_agent_s_breaks_its_stream(change: dict[str, Any]) -> None:
    hears = heard()
    assert hears.take(json.dumps({**json.loads(encode(CLOSED)), **change})) is None
    assert hears.broken
    assert hears.broken.isprintable()
    assert hears.closing is None


@pytest.mark.parametrize("change", [{}, {"v": 2}, {"event": "run.started", "more": "x" * 1000}, {"restic": None}, {"seq": 0}])
def test_an_agent_of_another_release_is_told_as_that_even_where_nothing_else_of_it_can_be_read(change: dict[str, Any]) -> None:
    hears = heard()
    hears.take(json.dumps({**sample("run.started"), "maintainer": "9.1.0", **change}))
    assert (
        hears.blame_release("0.1.0") == "its machine runs maintainer 9.1.0, and this controller is 0.1.0: install the same release on both"
    )
    assert hears.blame_release("9.1.0") == ""


@given(st.text(max_size=60))
def test_what_a_release_is_called_stays_a_short_printable_word(text: str) -> None:
    hears = heard()
    hears.take(json.dumps({**sample("run.started"), "v": 2, "maintainer": text}))
    assert hears.blame_release("0.1.0").isprintable()


@given(st.data(), st.sampled_from(sorted(VOCABULARY)))
def test_any_line_is_heard_and_told_or_breaks_the_stream(data: st.DataObject, name: str) -> None:
    raw = {key: json.dumps(value) for key, value in sample(name).items()}
    for key in data.draw(st.lists(st.sampled_from(sorted(raw)), max_size=3)):
        raw[key] = data.draw(fragments())
    hears = heard()
    event = hears.take("{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in raw.items()) + "}")
    assert (event is None) == bool(hears.broken)
    for line in told(event) if event is not None else [hears.broken]:
        assert all(part.isprintable() for part in line.split("\n"))


@given(st.text())
def test_any_text_is_heard_or_breaks_the_stream(line: str) -> None:
    hears = heard()
    assert hears.take(line) is None
    assert hears.broken.isprintable()


@given(st.lists(st.integers(1, 12), min_size=1))
def test_a_hole_is_seen_wherever_it_is_and_a_repeat_is_none(numbers: list[int]) -> None:
    hears = heard()
    for number in numbers:
        hears.take(encode(replace(CLOSED, seq=number)))
    missing = set(range(1, max(numbers) + 1)) - set(numbers)
    assert hears.gap == (min(missing) if missing else None)


def test_a_million_events_take_no_more_memory_than_some() -> None:
    hears = heard()
    line = encode(CLOSED)
    tracemalloc.start()
    try:
        for number in range(2, 20_000):  # each of them early
            hears.take(line.replace('"seq":1', f'"seq":{number}'))
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert hears.gap == 1
