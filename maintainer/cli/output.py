"""What every command prints with: lines for people, JSON for programs."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
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
    """Print a text for a person; on a terminal wrapped at spaces, or the terminal would break words."""
    shown = wrapped(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text
    try:
        sys.stdout.write(f"{shown}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough: what is under way goes on, and nobody hears of it
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def wrapped(text: str, width: int) -> str:
    """Wrap each line of a text at spaces. What follows is indented two columns more than the line itself, to be told from the next."""
    lines = []
    for line in text.splitlines():
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        folded = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False)
        lines += folded or [""]
    return "\n".join(lines)


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
                    console.print(Text(wrapped(text, console.width)), soft_wrap=True)

        yield draw


def event_printer(*, as_json: bool) -> Callable[[Event], None]:
    """Return what prints events one below the other, from whichever thread they come."""
    narrator, one_at_a_time = Narrator(), threading.Lock()

    def show(event: Event) -> None:
        with one_at_a_time:
            for text in (encode(event),) if as_json else narrator.lines(event):
                say(text)

    return show
