"""The event vocabulary, and how an event is written as one line of JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, TypeAlias, get_args

from maintainer.core import abridging
from maintainer.core.errors import EventError, ExitCode
from maintainer.core.moments import from_text

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"
Level = Literal["debug", "info", "warning", "error"]
Source = Literal["agent", "controller"]


@dataclass(frozen=True, slots=True)
class Word:
    """One event of the vocabulary: its level, the source that writes it (either, where that is empty), and the fields that it must have.

    A field's type follows its name: s a text, i a whole number, n any number, x an exit code, L a list of texts, J anything; `?`: or null.
    """

    level: Level
    source: str
    fields: str = ""

    def wrong(self, fields: Mapping[str, object]) -> str:
        """Return the first field that is missing or of another type; empty where all are as they must be."""
        for name, kind in (one.split(":") for one in self.fields.split()):
            is_there = name in fields
            if not is_there or not (_TYPES[kind[0]](fields[name]) or (kind.endswith("?") and fields[name] is None)):
                return name
        return ""


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_number(value: object) -> bool:
    return _is_whole(value) or (isinstance(value, float) and isfinite(value))


_TYPES: Mapping[str, Callable[[object], bool]] = {
    "s": lambda value: isinstance(value, str),
    "i": _is_whole,
    "n": _is_number,
    "x": lambda value: _is_whole(value) and value in set(ExitCode),
    "L": lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value),
    "J": lambda _: True,
}

VERSION = 1
LONGEST_LINE = 1 << 20
"""Characters of an event's line: what is written is bounded by LONGEST_TEXT and MOST_ITEMS."""
LONGEST_NAME = 200
LONGEST_TEXT, MOST_ITEMS = 8_000, 200
"""Characters of a text, and items of a list, that an event holds."""

VOCABULARY: Mapping[str, Word] = {
    "run.started": Word("info", "agent", "repositories:L maintainer:s restic:s"),
    "run.signalled": Word("warning", "agent", "signal:s"),
    "rebalance.recommended": Word("info", "agent", "since:s"),  # EC2 may take the instance back
    "interruption.noticed": Word("warning", "agent", "action:s at:s"),  # EC2 takes the instance back
    "run.interrupted": Word("warning", "agent", "repositories:L"),  # what is left to do
    "launch.postponed": Word("warning", "controller", "group:s reason:s guidance:s seconds:n"),
    "attempt.started": Word("warning", "controller", "group:s attempt:i of:i run:s repositories:L"),
    "run.closed": Word("info", "", "exit_code:x"),  # the source's last word; without it the run is lost
    "run.billed": Word("info", "controller", "usd:n? instances:J requests:n reads:i writes:i kept:i kept_usd_month:n"),
    "agent.lost": Word("error", "controller", "group:s status:i reason:s last_words:s"),
    "instance.launched": Word("info", "controller", "instance:s group:s type:s zone:s market:s deadline:s"),
    "instance.reached": Word("info", "controller", "instance:s"),
    # the store's keys, to a machine without a role; empty where they do not end
    "keys.given": Word("debug", "controller", "instance:s until:s"),
    "keys.failed": Word("warning", "controller", "instance:s reason:s"),  # those that it has go on until they end
    "connection.lost": Word("warning", "controller", "instance:s reason:s lines:i"),
    "instance.terminated": Word("info", "controller", "instance:s group:s"),
    # usd is null where it is not known, and why says so
    "instance.billed": Word("info", "controller", "instance:s group:s type:s market:s seconds:n usd:n? why:s"),
    "termination.failed": Word("error", "controller", "instance:s group:s reason:s"),
    "image.step": Word("info", "controller", "instance:s step:s seconds:n"),
    "image.made": Word("info", "controller", "image:s digest:s instance:s seconds:n"),
    "gateway.launched": Word("info", "controller", "group:s instance:s type:s zone:s market:s"),
    "gateway.answered": Word("info", "controller", "group:s instance:s seconds:n"),
    "gateway.moved": Word("info", "controller", "group:s instance:s address:s"),  # it serves from now on
    "gateway.ended": Word("info", "controller", "group:s instance:s"),  # another serves in its place
    "orphan.ended": Word("warning", "controller", "group:s run:s reason:s"),
    "repository.started": Word("info", "agent", "location:s"),
    "repository.finished": Word("info", "agent", "exit_code:x seconds:n reads:i writes:i"),  # requests to the stores
    "step.started": Word("info", "", ""),
    "step.finished": Word("info", "", "seconds:n restic_seconds:n"),
    "restic.repeated": Word("warning", "agent", "command:s reason:s"),
    "call.retried": Word("warning", "", "call:s attempt:i reason:s wait_s:n"),
    "store.surveyed": Word("info", "", "keys:i versions:i"),
    "ids.shortened": Word("debug", "", "digits:i"),  # of an id, so many tell it from every other of this repository
    "run.left": Word("info", "agent", "files:i example:s"),  # what runs that never committed had put; this commit dooms it
    "plan.made": Word("info", "", "stored:i kept:i"),  # bytes of the versions on top, and of those below them
    "heal.planned": Word("info", "", "key:s from_version:s over:s why:s"),
    "mark.planned": Word("info", "", "key:s over:s why:s"),
    "eviction.planned": Word("info", "", "key:s why:s"),
    "forget.planned": Word("info", "", "snapshot:s time:s host:s"),
    # the date from which one more counts
    "probation.explained": Word("info", "", "host:s paths:L days:n waiting:i counting:i suspect:i next:s"),
    "suspicion.explained": Word("info", "", "snapshot:s reasons:L"),
    "plan.finished": Word("info", "", "heal:i mark:i evict:i new:i"),  # nothing was changed
    "object.healed": Word("warning", "", "key:s from_version:s to_version:s over:s why:s"),
    "object.marked": Word("info", "", "key:s over:s why:s"),
    "object.evicted": Word("warning", "", "key:s why:s"),
    "object.admitted": Word("debug", "", "key:s"),
    "objects.admitted": Word("info", "", "packs:i indexes:i snapshots:i"),
    "object.taken_back": Word("info", "", "key:s"),
    "salvage.failed": Word("warning", "agent", "key:s reason:s"),  # the damaged pack stays as it is
    "snapshot.incomplete": Word("warning", "", "key:s"),
    "retention.judged": Word("info", "", "counting:i forget:i suspect:i in_probation:i"),
    "retention.held": Word("warning", "", "reason:s"),  # nothing is forgotten
    "retention.limited": Word("warning", "", "host:s paths:L reason:s"),  # of these not all that the policy proposes is forgotten
    "snapshots.measured": Word("debug", "", "snapshots:i trees:i bytes:i"),  # read for it
    "snapshot.suspected": Word("warning", "", "snapshot:s reasons:L"),
    "snapshot.kept": Word("debug", "", "snapshot:s reasons:L"),
    "snapshot.forgotten": Word("info", "", "snapshot:s time:s host:s"),
    "prune.finished": Word("info", "", "deleted:i written:i"),
    "prune.skipped": Word("warning", "", "reason:s"),
    "check.progressed": Word("debug", "", "packs:i of_packs:i bytes:i of_bytes:i"),  # read so far
    "check.finished": Word("info", "", "packs:i of_packs:i bytes:i of_bytes:i before:s order:s seconds:n"),
    "marking.postponed": Word("warning", "", "reason:s"),
    "cache.refused": Word("warning", "", "needs:s free:s folder:s"),  # restic works without a cache, and slowly
    "tags.compared": Word("info", "", "versions:i wrong:i"),  # of what is good: none may carry the tag of what was released
    "versions.released": Word("info", "", "versions:i"),  # tagged, so that the lifecycle rule may take them
    "release.failed": Word("warning", "", "reason:s"),  # nothing was tagged, and nothing expires
    "ledger.appended": Word("info", "", "sequence:i kind:s digest:s"),
    "finding.reported": Word("warning", "", "kind:s subject:s detail:s standing:s since:s do:s"),
    "run.committed": Word("info", "", "sequence:i forgotten:i doomed:i packs:i indexes:i left:i"),
    "run.failed": Word("error", "", "reason:s guidance:s exit_code:x"),  # not committed, nothing was deleted
}
"""Every event that may be written: `noun.past_tense`.

`check.finished`: read in this run, of what is there; before: when the rest was read last; order: "before the prune", "again" after that, or
"". `run.committed`: files doomed in all, and of these packs, indexes, and those left by runs that did not commit.
"""

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
    """Read one line back, with hostile text escaped; EventError for what is no event of this version, or lacks what its kind must have."""
    try:
        if len(line) > LONGEST_LINE:
            raise ValueError("too long")
        raw = json.loads(line)
        if raw["v"] != VERSION:
            raise EventError(
                f"event of version {raw['v']!r:.20}", guidance="agent and controller differ: install the same release for both"
            )
        word = VOCABULARY[raw["event"]]
        fields = {escape(name): escape_all(value) for name, value in raw.items() if name not in ENVELOPE}
        if raw["level"] not in get_args(Level) or raw["source"] not in get_args(Source) or not _is_whole(raw["seq"]) or raw["seq"] < 1:
            raise ValueError(raw["event"])
        if word.source not in ("", raw["source"]) or word.wrong(fields):
            raise ValueError(f"{raw['event']}: {word.wrong(fields) or 'of another source'}")
        from_text(raw["ts"])
        return Event(
            ts=raw["ts"],
            run_id=_name(raw["run_id"]),
            source=raw["source"],
            seq=raw["seq"],
            event=raw["event"],
            level=raw["level"],
            repository=None if raw.get("repository") is None else _name(raw["repository"]),
            step=None if raw.get("step") is None else _name(raw["step"]),
            fields=fields,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = escape(str(error)[:LONGEST_NAME])
        raise EventError(
            f"not an event ({why}): {escape(line[:LONGEST_NAME])!r}",
            guidance="the stream was cut or altered: see the copy in the state store",
        ) from error


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        raise ValueError("no name")
    return escape(value)


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


def escape_lines(text: str) -> str:
    """Make several lines safe for a terminal, and leave them lines."""
    return "\n".join(map(escape, text.splitlines()))


def escape_all(value: Json) -> Json:
    """Escape every text in a field."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, list):
        return [escape_all(inner) for inner in value]
    if isinstance(value, dict):
        return {escape(name): escape_all(inner) for name, inner in value.items()}
    return value
