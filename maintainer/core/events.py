"""The event vocabulary, and how an event is written as one line of JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from maintainer.core import abridging
from maintainer.core.errors import EventError

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Level = Literal["debug", "info", "warning", "error"]
Source = Literal["agent", "controller"]

VERSION = 1
LONGEST_TEXT, MOST_ITEMS = 8_000, 200
"""Characters of a text, and items of a list, that an event holds."""

VOCABULARY: Mapping[str, Level] = {
    "run.started": "info",  # repositories, maintainer, restic
    "run.signalled": "warning",  # signal
    "rebalance.recommended": "info",  # since: EC2 may take the instance back
    "interruption.noticed": "warning",  # action, at: EC2 takes the instance back
    "run.interrupted": "warning",  # repositories: what is left to do
    "launch.postponed": "warning",  # group, reason, guidance, seconds
    "attempt.started": "warning",  # group, attempt, of, run, repositories
    "run.closed": "info",  # exit_code: the source's last word; without it the run is lost
    "run.billed": "info",  # usd (or null), instances, requests, reads, writes, kept (bytes), kept_usd_month, month_budget, month_before
    "agent.lost": "error",  # status, reason
    "instance.launched": "info",  # instance, group, type, zone, market, deadline
    "instance.reached": "info",  # instance
    "keys.given": "debug",  # instance, until: the store's keys, to a machine without a role; empty where they do not end
    "keys.failed": "warning",  # instance, reason: those that it has go on until they end
    "connection.lost": "warning",  # instance, reason, lines
    "instance.terminated": "info",  # instance, group
    "instance.billed": "info",  # instance, group, type, market, seconds, usd (null: not known, why)
    "termination.failed": "error",  # instance, group, reason
    "image.step": "info",  # instance, step, seconds
    "image.made": "info",  # image, digest, instance, seconds
    "gateway.launched": "info",  # group, instance, type, zone, market
    "gateway.answered": "info",  # group, instance, seconds
    "gateway.moved": "info",  # group, instance, address: it serves from now on
    "gateway.ended": "info",  # group, instance: another serves in its place
    "orphan.ended": "warning",  # id, kind, region, usd, group, run, reason
    "repository.started": "info",  # location
    "repository.finished": "info",  # exit_code, seconds, reads, writes: requests to the stores
    "step.started": "info",  # step in the envelope
    "step.finished": "info",  # seconds, restic_seconds
    "restic.repeated": "warning",  # command, reason
    "call.retried": "warning",  # call, attempt, reason, wait_s
    "store.surveyed": "info",  # keys, versions
    "run.left": "info",  # files, example: what runs that never committed had put; this commit dooms it
    "plan.made": "info",  # heal, mark, evict, new; stored, kept: bytes of the versions on top, and of those below them
    "heal.planned": "info",  # key, from_version, over, why
    "mark.planned": "info",  # key, over, why
    "eviction.planned": "info",  # key, why
    "forget.planned": "info",  # snapshot, time, host
    "probation.explained": "info",  # host, paths, days, waiting, counting, suspect, next: the date from which one more counts
    "suspicion.explained": "info",  # snapshot, reasons
    "plan.finished": "info",  # heal, mark, evict, new: nothing was changed
    "object.healed": "warning",  # key, from_version, to_version, over, why
    "object.marked": "info",  # key, over, why
    "object.evicted": "warning",  # key, why
    "object.admitted": "debug",  # key
    "objects.admitted": "info",  # packs, indexes, snapshots
    "object.taken_back": "info",  # key
    "snapshot.incomplete": "warning",  # key
    "retention.judged": "info",  # counting, forget, suspect, in_probation
    "retention.held": "warning",  # reason: nothing is forgotten
    "retention.limited": "warning",  # host, paths, reason: of these not all that the policy proposes is forgotten
    "snapshots.measured": "debug",  # snapshots, trees, bytes: read for it
    "snapshot.suspected": "warning",  # snapshot, reasons
    "snapshot.kept": "debug",  # snapshot, reasons
    "snapshot.forgotten": "info",  # snapshot, time, host
    "prune.finished": "info",  # deleted, written
    "prune.skipped": "warning",  # reason
    "check.progressed": "debug",  # packs, of_packs, bytes, of_bytes: read so far
    # packs, bytes: read in this run; of_packs, of_bytes; before: when the rest was read last; seconds;
    # order: "before the prune", "again" after that, or ""
    "check.finished": "info",
    "marking.postponed": "warning",  # reason
    "cache.refused": "warning",  # needs, free, folder: restic works without a cache, and slowly
    "versions.released": "info",  # versions: tagged, so that the lifecycle rule may take them
    "release.failed": "warning",  # reason: nothing was tagged, and nothing expires
    "ledger.appended": "info",  # sequence, kind, digest
    "finding.reported": "warning",  # kind, subject, detail, standing, since, do
    # sequence, forgotten; doomed: files in all; of these packs, indexes, and `left` by runs that did not commit
    "run.committed": "info",
    "run.failed": "error",  # reason, guidance, exit_code: not committed, nothing was deleted
}
"""Every event that may be written, with its level: `noun.past_tense`."""

ENVELOPE = ("v", "ts", "run_id", "source", "seq", "repository", "step", "event", "level")


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a run. `ts` is UTC, RFC 3339; `seq` counts from 1 for each run and source, without gaps."""

    ts: str
    run_id: str
    source: Source
    seq: int
    event: str
    level: Level
    repository: str | None = None
    step: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)


def encode(event: Event) -> str:
    """Write an event as one line of ASCII JSON, without the line's end: envelope first, then its own fields, flat."""
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
    return json.dumps({**envelope, **event.fields}, separators=(",", ":"))


def decode(line: str) -> Event:
    """Read one line back, with hostile text escaped; EventError for what is no event of this version."""
    try:
        raw = json.loads(line)
        if raw["v"] != VERSION:
            raise EventError(f"event of version {raw['v']}", guidance="agent and controller differ: install the same release for both")
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
            fields={name: escape_all(value) for name, value in raw.items() if name not in ENVELOPE},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EventError(
            f"not an event: {line[:200]!r}", guidance="the stream was cut or altered: see the copy in the state store"
        ) from error


def bounded(value: Json) -> Json:
    """Return a field of no more than an event may hold: long texts cut, and long lists to their first and how many follow."""
    if isinstance(value, str):
        return abridging.text(value, LONGEST_TEXT)
    if isinstance(value, list):
        more = [f"… and {len(value) - MOST_ITEMS} more"] if len(value) > MOST_ITEMS else []
        return [*map(bounded, value[:MOST_ITEMS]), *more]
    return value


def escape(text: str) -> str:
    """Make text from a repository safe for a terminal: whatever does not print becomes an escape, newlines included."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def escape_all(value: Json) -> Json:
    """Escape every text in a field."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [escape_all(inner) for inner in value]
    if isinstance(value, dict):
        return {escape(name): escape_all(inner) for name, inner in value.items()}
    return value


def finished(events: Iterable[Event]) -> dict[str, int]:
    """Return the exit code of every repository whose run came to its end, whichever it was."""
    return {
        event.repository: code
        for event in events
        if event.event == "repository.finished" and event.repository is not None and isinstance(code := event.fields["exit_code"], int)
    }


def first_gap(events: Iterable[Event], source: Source) -> int | None:
    """Return the first sequence number that is missing from a source's events, or None; repeats are no gap."""
    numbers = {event.seq for event in events if event.source == source}
    return next((number for number in range(1, max(numbers, default=0) + 1) if number not in numbers), None)
