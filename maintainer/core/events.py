"""The event vocabulary, and how an event is written as one line of JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from maintainer.core.errors import EventError

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Level = Literal["debug", "info", "warning", "error"]
Source = Literal["agent", "controller"]

VERSION = 1

VOCABULARY: Mapping[str, Level] = {
    # the controller's
    "run.requested": "info",  # mode, groups, repositories
    "instance.requested": "info",  # instance_type, subnet, market, attempt
    "instance.refused": "warning",  # code, message, instance_type, subnet
    "instance.launched": "info",  # instance_id, address, instance_type, market
    "instance.reachable": "info",  # seconds since launch
    "instance.interrupted": "warning",  # the spot notice, or termination from outside
    "instance.terminated": "info",  # instance_id, why
    "orphan.terminated": "warning",  # instance_id, orphan_run
    "connection.lost": "warning",  # reason, line
    "connection.resumed": "info",  # line
    "call.retried": "warning",  # call, attempt, reason, wait_s
    "run.signalled": "warning",  # signal, orderly
    "run.closed": "info",  # exit_code: the controller's last word
    # the agent's
    "run.started": "info",  # mode, repositories, instance_id, maintainer, restic
    "setup.refused": "error",  # where, found, expected, do: a mistake found before anything was changed
    "repository.started": "info",  # location
    "lease.taken": "info",  # number, expires
    "run.settled": "warning",  # settled_run: an earlier run had died
    "step.started": "info",  # step in the envelope
    "step.progressed": "debug",  # done, total, unit, seconds_left
    "step.finished": "info",  # seconds, plus figures of the step
    "store.surveyed": "info",  # keys, versions, markers, bytes
    "version.hashed": "debug",  # key, version_id, sha256
    "plan.made": "info",  # heal, quarantine, findings
    "object.healed": "warning",  # key, from_version, to_version, why
    "object.quarantined": "warning",  # key, version_id (the marker's), why
    "finding.reported": "warning",  # kind, key, detail, do
    "retention.judged": "info",  # keep, remove, suspect, held, reasons
    "snapshot.suspected": "warning",  # snapshot, reasons
    "snapshot.kept": "debug",  # snapshot, reasons
    "snapshot.forgotten": "info",  # snapshot, reasons
    "retention.held": "warning",  # reasons
    "object.removed": "debug",  # key, version_id: restic said so, and the marker was found
    "prune.finished": "info",  # removed_packs, removed_indexes
    "check.finished": "info",  # errors, seconds
    "ledger.appended": "info",  # number, digest, endorsed, markers
    "run.committed": "info",  # exit_code, healed, forgotten, suspects
    "run.unchanged": "info",  # a plan was made, and nothing was changed
    "run.rolled_back": "error",  # reason, restored
    "run.failed": "error",  # reason, guidance, exit_code
    "agent.closed": "info",  # exit_code: the agent's last word; without it the run is lost
}
"""Every event that may be written, with its level: `noun.past_tense`."""

ENVELOPE = ("v", "ts", "run_id", "source", "seq", "repository", "step", "event", "level")


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a run. `ts` is UTC, RFC 3339 with milliseconds; `seq` counts from 1 for each run and source, without gaps."""

    ts: str
    run_id: str
    source: Source
    seq: int
    event: str
    level: Level
    repository: str | None = None
    step: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)

    def exit_code(self) -> int | None:
        """Return the exit code that a closing event carries."""
        value = self.fields.get("exit_code")
        return value if isinstance(value, int) else None


def encode(event: Event) -> str:
    """Write an event as one line of JSON, without the line's end. Envelope first, then its own fields, flat."""
    envelope: dict[str, Json] = {
        "v": VERSION,
        "ts": event.ts,
        "run_id": event.run_id,
        "source": event.source,
        "seq": event.seq,
        "repository": event.repository,
        "step": event.step,
        "event": event.event,
        "level": event.level,
    }
    return json.dumps({**envelope, **event.fields}, ensure_ascii=False, separators=(",", ":"))


def decode(line: str) -> Event:
    """Read one line back; EventError for what is no event of this version."""
    try:
        raw = json.loads(line)
        if raw["v"] != VERSION:
            raise EventError(
                f"event of version {raw['v']}", guidance="image and controller differ: build the image again with this release"
            )
        if raw["event"] not in VOCABULARY or raw["level"] not in get_args(Level) or raw["source"] not in get_args(Source):
            raise ValueError(raw["event"])
        return Event(
            ts=str(raw["ts"]),
            run_id=str(raw["run_id"]),
            source=raw["source"],
            seq=int(raw["seq"]),
            event=raw["event"],
            level=raw["level"],
            repository=raw.get("repository"),
            step=raw.get("step"),
            fields={name: value for name, value in raw.items() if name not in ENVELOPE},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EventError(
            f"not an event: {line[:200]!r}", guidance="the stream was cut or altered: see the copy in the state store"
        ) from error


def first_gap(events: Iterable[Event], source: Source) -> int | None:
    """Return the first sequence number that is missing from a source's events, or None; repeats are no gap."""
    numbers = {event.seq for event in events if event.source == source}
    return next((number for number in range(1, max(numbers, default=0) + 1) if number not in numbers), None)
