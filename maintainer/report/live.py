"""The event stream as a board: a line for each machine and repository at work now, with what it does, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from maintainer.core.amounts import size
from maintainer.core.events import Event
from maintainer.core.moments import from_text

COUNTED: Mapping[str, str] = {
    "object.healed": "healed",
    "object.evicted": "evicted",
    "object.taken_back": "taken back",
    "object.marked": "marked",
    "snapshot.incomplete": "incomplete",
    "snapshot.forgotten": "forgotten",
}


@dataclass
class Row:
    """What is told of one machine or repository. `since` is when its step began."""

    name: str
    doing: str
    since: datetime
    counts: dict[str, int] = field(default_factory=dict)
    share: str = ""
    left: timedelta | None = None

    def detail(self, now: datetime) -> str:
        """Return counts, how far it is, and how long it has taken or will take."""
        parts = [f"{count} {what}" for what, count in list(self.counts.items())]
        if self.share:
            parts.append(self.share)
        parts.append(f"{_span(now - self.since)}" + (f", about {_span(self.left)} left" if self.left is not None else ""))
        return ", ".join(parts)


@dataclass
class Board:
    """A fold over the events of one run."""

    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    def see(self, event: Event) -> None:
        """Take one event in."""
        moment = from_text(event.ts)
        if (instance := event.fields.get("instance")) is not None:
            self._machine(event, str(instance), moment)
        elif event.repository is not None:
            self._repository(event, event.repository, moment)
        if event.event == "run.interrupted":
            left: Any = event.fields["repositories"]
            for name in left:  # their next attempt begins anew
                self.rows.pop(("repository", name), None)
        if event.event == "run.closed" and event.source == "controller":
            self.rows.clear()

    def _machine(self, event: Event, instance: str, moment: datetime) -> None:
        f = event.fields
        at = ("machine", instance)
        match event.event:
            case "instance.launched":
                made_of = [str(part) for part in (f["type"], f["market"], f["zone"]) if part]
                self.rows[at] = Row(f"{f['group']}", " ".join((instance, *made_of, "boots")), moment)
            case "instance.terminated" | "termination.failed":
                self.rows.pop(at, None)
            case "instance.reached" | "connection.lost" if at in self.rows:
                base = " ".join(self.rows[at].doing.split()[:4])
                self.rows[at].doing = f"{base} {'works' if event.event == 'instance.reached' else 'does not answer'}"

    def _repository(self, event: Event, name: str, moment: datetime) -> None:
        at = ("repository", name)
        if event.event == "repository.finished":
            self.rows.pop(at, None)
            return
        row = self.rows.setdefault(at, Row(name, "begins", moment))
        if event.event == "step.started":
            row.doing, row.since, row.share, row.left = str(event.step), moment, "", None
        elif (what := COUNTED.get(event.event)) is not None:
            row.counts[what] = row.counts.get(what, 0) + 1
        elif event.event == "check.progressed":
            f: Mapping[str, Any] = event.fields
            row.share = f"{f['packs']} of {f['of_packs']} packs, {size(f['bytes'])} of {size(f['of_bytes'])}"
            spent = moment - row.since
            row.left = spent * (f["of_bytes"] - f["bytes"]) / f["bytes"] if f["bytes"] else None

    def table(self, now: datetime) -> Table:
        """Draw it. May be called while another thread sees events: it works on copies."""
        drawn = Table.grid(padding=(0, 2))
        for (kind, _), row in sorted(self.rows.items(), key=lambda one: one[0]):
            drawn.add_row(Text(row.name, "bold" if kind == "machine" else ""), Text(row.doing), Text(row.detail(now), "dim"))
        return drawn


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"  # noqa: PLR2004 - an hour
