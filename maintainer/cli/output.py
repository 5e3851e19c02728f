"""What every command prints with: lines for people, JSON for programs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from maintainer.core.events import Event, encode
from maintainer.report.lines import Narrator


def say(text: str = "") -> None:
    """Print one line for a person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def event_printer(*, as_json: bool) -> Callable[[Event], None]:
    """Return what prints events as they come, from whichever thread."""
    narrator = Narrator()
    one_at_a_time = threading.Lock()

    def show(event: Event) -> None:
        with one_at_a_time:
            for text in (encode(event),) if as_json else narrator.lines(event):
                say(text)

    return show
