"""Where events go, and how diagnostics are written."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from maintainer.core.events import VOCABULARY, Event, Json, Source, encode
from maintainer.edges.clock import Clock


class EventSink(Protocol):
    """Something that takes events, in order."""

    def write(self, event: Event) -> None:
        """Take one event."""


def timestamp(moment: datetime) -> str:
    """Write a moment as events carry it: RFC 3339, UTC, milliseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Recorder:
    """Numbers the events of one run and source from 1, without gaps, and hands each to every sink. Safe between threads."""

    def __init__(self, run_id: str, source: Source, clock: Clock, sinks: Iterable[EventSink]) -> None:
        self.run_id = run_id
        self._source = source
        self._clock = clock
        self._sinks = tuple(sinks)
        self._seq = 0
        self._lock = threading.Lock()

    def record(self, event: str, *, repository: str | None = None, step: str | None = None, **fields: Json) -> Event:
        """Write one event; KeyError for a word that is not in the vocabulary."""
        level = VOCABULARY[event]
        with self._lock:
            self._seq += 1
            made = Event(timestamp(self._clock.now()), self.run_id, self._source, self._seq, event, level, repository, step, fields)
            for sink in self._sinks:
                sink.write(made)
        return made


class FileSink:
    """Appends each event to a file as one line, flushed at once: whoever follows sees it within the moment."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8")

    def write(self, event: Event) -> None:
        """Append the event."""
        self._stream.write(encode(event) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


class ListSink:
    """Keeps events in memory, for folds."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def write(self, event: Event) -> None:
        """Keep the event."""
        self.events.append(event)


def configure(*, verbose: bool) -> None:
    """Set structlog up for diagnostics: to stderr, for people on a terminal and as JSON elsewhere."""
    rendering: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(sort_keys=True)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
