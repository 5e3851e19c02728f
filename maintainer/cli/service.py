"""`maintainer run` as a service: stays, and runs at the configured moments, until it is asked to end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import FrameType

from maintainer.cli import common
from maintainer.controller.once import SIGNALLED
from maintainer.core.errors import ExitCode, MaintainerError
from maintainer.core.moments import from_text, to_text
from maintainer.core.schedule import following
from maintainer.edges.bell import Bell
from maintainer.edges.log import diagnostics
from maintainer.settings.load import Settings

LOOK_EVERY_S = 5.0
"""The clock may be set meanwhile, or the machine sleep: so nobody waits for long without looking."""
BEGUN = "last-run"
"""The file, in systemd's state directory, that tells when a run was begun last: without it none was missed while no service was there."""


def stay(read: Callable[[], Settings], run: Callable[[], int]) -> ExitCode:
    """Run at each moment, by the configuration as it is then; return what the signal that ended it means.

    A run that takes longer than a period makes the next one begin at once, when it has ended: two never overlap. What a run failed of is
    told, and the next one follows all the same.
    """
    remembered = _remembered()
    last: datetime | None = _read(remembered)
    with _asked_to_end() as (asked, wait):
        while not asked:
            try:
                chosen = read()
                clock = common.clock(chosen)
                due = following(clock.now(), chosen.run.at, chosen.run.every, last)
            except MaintainerError as error:  # a configuration that is being written
                sys.stderr.write(f"maintainer: {error}\n")
                wait(LOOK_EVERY_S)
                continue
            diagnostics().info("waiting for the next run", due=to_text(due))
            while not asked and clock.now() < due:
                wait(min(LOOK_EVERY_S, max((due - clock.now()).total_seconds(), 0)))
            if asked:
                break
            last = clock.now()
            if remembered is not None:
                remembered.write_text(to_text(last), encoding="ascii")
            if (code := _run(run)) in SIGNALLED.values():
                return ExitCode(code)
    return SIGNALLED[asked[0]]


def _run(run: Callable[[], int]) -> int:
    try:
        return run()
    except MaintainerError as error:
        sys.stderr.write(f"maintainer: {error}\n")
        return error.exit_code


def _remembered() -> Path | None:
    folder = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(folder) / BEGUN if folder else None


def _read(file: Path | None) -> datetime | None:
    if file is None or not file.exists():
        return None
    try:
        return from_text(file.read_text(encoding="ascii").strip())
    except ValueError:
        return None


@contextmanager
def _asked_to_end() -> Iterator[tuple[list[signal.Signals], Callable[[float], object]]]:
    """Yield which signal asked to end, once one has, and how to wait until then."""
    asked: list[signal.Signals] = []
    bell = Bell()

    def note(number: int, _: FrameType | None) -> None:
        asked.append(signal.Signals(number))
        bell.ring()

    before = {number: signal.signal(number, note) for number in SIGNALLED}
    try:
        yield asked, bell.wait
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
