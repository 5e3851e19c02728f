"""The board: what is at work now, and nothing that has ended."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console

from maintainer.core.events import VOCABULARY, Event, Source
from maintainer.core.moments import to_text
from maintainer.report.live import Board

START = datetime(2026, 1, 1, tzinfo=UTC)


def see(board: Board, second: float, name: str, *, repository: str | None = None, step: str | None = None, **fields: Any) -> None:
    source: Source = "agent" if repository else "controller"
    board.see(Event(to_text(START + timedelta(seconds=second)), "r", source, 1, name, VOCABULARY[name].level, repository, step, fields))


def drawn(board: Board, second: float) -> list[str]:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(board.table(START + timedelta(seconds=second)))
    return [" ".join(line.split()) for line in console.export_text().splitlines() if line.strip()]


def launched(board: Board) -> None:
    see(board, 0, "instance.launched", instance="i-1", group="servers", type="m7i.large", zone="a", market="spot", deadline="x")


def test_a_machine_boots_works_is_cut_off_and_goes() -> None:
    board = Board()
    launched(board)
    assert drawn(board, 3) == ["servers i-1 m7i.large spot a boots 3 s"]
    see(board, 4, "instance.reached", instance="i-1")
    assert drawn(board, 64) == ["servers i-1 m7i.large spot a works 1 min 04 s"]
    see(board, 70, "connection.lost", instance="i-1", reason="x", lines=1)
    assert drawn(board, 70) == ["servers i-1 m7i.large spot a does not answer 1 min 10 s"]
    see(board, 71, "instance.terminated", instance="i-1", group="servers")
    assert drawn(board, 72) == []


def test_what_an_interruption_left_is_shown_again_when_it_begins_anew() -> None:
    board = Board()
    launched(board)
    see(board, 1, "step.started", repository="web", step="check")
    see(board, 2, "object.healed", repository="web", step="check", key="k")
    see(board, 3, "run.interrupted", repositories=["web"])
    assert len(drawn(board, 4)) == 1
    see(board, 60, "step.started", repository="web", step="survey")
    assert drawn(board, 61)[1] == "web survey 1 s"


def test_a_repository_shows_its_step_counts_bytes_and_the_time_left() -> None:
    board = Board()
    launched(board)
    see(board, 1, "step.started", repository="web", step="revert")
    for _ in range(3):
        see(board, 2, "object.healed", repository="web", step="revert", key="k")
    assert drawn(board, 5)[1] == "web revert 3 healed, 4 s"
    see(board, 10, "step.started", repository="web", step="check")
    see(board, 110, "check.progressed", repository="web", step="check", packs=1, of_packs=4, bytes=1 << 30, of_bytes=4 << 30)
    assert drawn(board, 120)[1] == "web check 3 healed, 1 of 4 packs, 1.0 GiB of 4.0 GiB, 1 min 50 s, about 5 min 00 s left"
    see(board, 7500, "step.started", repository="web", step="mark")
    assert drawn(board, 7500 + 7260)[1] == "web mark 3 healed, 2 h 01 min"
    see(board, 15000, "repository.finished", repository="web", exit_code=0, seconds=1)
    assert len(drawn(board, 15001)) == 1


def test_a_check_that_has_read_nothing_yet_promises_nothing() -> None:
    board = Board()
    see(board, 0, "step.started", repository="web", step="check")
    see(board, 5, "check.progressed", repository="web", step="check", packs=0, of_packs=4, bytes=0, of_bytes=100)
    assert drawn(board, 5) == ["web check 0 of 4 packs, 0 B of 100 B, 5 s"]


def test_hostile_names_are_no_markup() -> None:
    board = Board()
    see(board, 0, "step.started", repository="[red]x[/red]", step="check")
    assert drawn(board, 1) == ["[red]x[/red] check 1 s"]


def test_the_end_clears_it() -> None:
    board = Board()
    launched(board)
    see(board, 1, "run.closed", exit_code=0)
    assert drawn(board, 2) == []
