"""What every command prints with: lines for people, JSON for programs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from maintainer.core.events import Event, encode
from maintainer.edges.clock import Clock
from maintainer.report.lines import Narrator
from maintainer.report.live import Board


def say(text: str = "") -> None:
    """Print one line for a person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextmanager
def events_shown(*, as_json: bool, clock: Clock) -> Iterator[Callable[[Event], None]]:
    """Yield what shows events as they come, from whichever thread: on a terminal lines above a board of what is at work now."""
    if as_json or not sys.stdout.isatty():
        yield event_printer(as_json=as_json)
        return
    narrator, board, one_at_a_time = Narrator(), Board(), threading.Lock()
    console = Console(highlight=False)
    with Live(console=console, get_renderable=lambda: board.table(clock.now()), transient=True):

        def draw(event: Event) -> None:
            with one_at_a_time:
                board.see(event)
                for text in narrator.lines(event):
                    console.print(Text(text), soft_wrap=True)

        yield draw


def event_printer(*, as_json: bool) -> Callable[[Event], None]:
    """Return what prints events one below the other, from whichever thread they come."""
    narrator, one_at_a_time = Narrator(), threading.Lock()

    def show(event: Event) -> None:
        with one_at_a_time:
            for text in (encode(event),) if as_json else narrator.lines(event):
                say(text)

    return show
