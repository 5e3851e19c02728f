"""Where events go, and how diagnostics are written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from maintainer.core.events import VOCABULARY, Event, Json, Source, bounded
from maintainer.core.moments import to_text
from maintainer.edges.clock import Clock
from maintainer.edges.lazy import LazyModule

if TYPE_CHECKING:
    import structlog
else:
    structlog = LazyModule("structlog")


class Recorder:
    """Numbers the events of one run and source from 1, without gaps, and hands each to a sink. Safe between threads."""

    def __init__(self, run_id: str, source: Source, clock: Clock, sink: Callable[[Event], None]) -> None:
        self.run_id = run_id
        self._source = source
        self._clock = clock
        self._sink = sink
        self._seq = 0
        self._lock = threading.Lock()
        self._repository: str | None = None
        self._step: str | None = None
        self._restic_s = 0.0

    @property
    def where(self) -> str | None:
        """Return the repository that the envelope names now."""
        return self._repository

    def record(self, event: str, **fields: Json) -> None:
        """Write one event; KeyError for a word that is not in the vocabulary."""
        level = VOCABULARY[event].level
        told = {name: bounded(value) for name, value in fields.items()}
        with self._lock:
            self._seq += 1
            moment = to_text(self._clock.now())
            self._sink(Event(moment, self.run_id, self._source, self._seq, event, level, self._repository, self._step, told))

    def retried(self, call: str, attempt: int, reason: str, wait_s: float) -> None:
        """Write that a call is repeated."""
        self.record("call.retried", call=call, attempt=attempt, reason=reason, wait_s=round(wait_s, 2))

    @contextmanager
    def repository(self, name: str) -> Iterator[None]:
        """Name the repository in the envelope of all events within."""
        self._repository = name
        try:
            yield
        finally:
            self._repository = self._step = None

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Name the step in the envelope, and tell its beginning, its end, and the seconds that restic took of it."""
        before, self._step, self._restic_s = self._step, name, 0.0
        started = self._clock.monotonic()
        self.record("step.started")
        try:
            yield
        finally:
            seconds = round(self._clock.monotonic() - started, 3)
            self.record("step.finished", seconds=seconds, restic_seconds=round(self._restic_s, 3))
            self._step = before

    @contextmanager
    def restic(self) -> Iterator[None]:
        """Count the time within as restic's own."""
        started = self._clock.monotonic()
        try:
            yield
        finally:
            self._restic_s += self._clock.monotonic() - started


def diagnostics() -> structlog.typing.FilteringBoundLogger:
    """Return the logger for what is no event: JSON lines on standard error, tracebacks without the values of variables."""
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
    )
    return logger
