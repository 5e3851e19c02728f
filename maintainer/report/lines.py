"""The event stream as a person reads it: a fold that tells each kind of thing once, and no byte that a terminal obeys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from maintainer.core.amounts import counted, size
from maintainer.core.errors import OUTCOMES, ExitCode
from maintainer.core.events import Event, escape_lines
from maintainer.core.findings import Kind
from maintainer.core.shortids import LEAST, WHOLE, shortened
from maintainer.core.suspicion import suspicion

MARKS = {"debug": " ", "info": " ", "warning": "!", "error": "✗"}


def cost_of(usd: float | None) -> str:
    """Say what a thing cost, behind its name: nothing where it is free, or not known."""
    return f", {usd:.4f} USD so far" if usd else ""


def _made_of(fields: Mapping[str, Any]) -> str:
    """Say what kind of machine it is, and where; a machine that was there already has only its name."""
    return f", {fields['type']} {fields['market']} in {fields['zone']}" if fields["zone"] else ""


Fields = Mapping[str, Any]


def _checked(f: Fields) -> str:
    """Say what a check read; after one before the prune only what the prune wrote is left to read."""
    if f["order"] == "again":
        return f"checked again after the prune, with what it wrote: {counted(f['packs'], 'pack')} in {f['seconds']} s"
    if f["packs"] == f["of_packs"]:
        why = " before the prune, because the run before did not commit" if f["order"] else ""
        return f"checked every byte{why}: {counted(f['packs'], 'pack')}, {size(f['bytes'])} in {f['seconds']} s"
    read = f"read {f['packs']} of {counted(f['of_packs'], 'pack')}, {size(f['bytes'])} of {size(f['of_bytes'])}"
    return f"checked in {f['seconds']} s: {read}; the rest was read on {f['before'][:10]} or since"


def _doomed(f: Fields) -> str:
    """Say how many files a commit dooms, and why, as far as that is not the snapshots that it forgot."""
    why = [
        f"{counted(f['packs'], 'pack')} that no snapshot needs" if f["packs"] else "",
        f"{counted(f['indexes'], 'index', 'indexes')} that others replace" if f["indexes"] else "",
        f"{f['left']} left by runs that did not commit" if f["left"] else "",
    ]
    told = ", ".join(filter(None, why))
    return f"{counted(f['doomed'], 'file')} doomed" + (f": {told}" if told else "")


_LINES: Mapping[str, Callable[[Fields], str]] = {
    "repository.started": lambda f: f"at {f['location']}",
    "store.surveyed": lambda f: f"surveyed {counted(f['keys'], 'object')} in {counted(f['versions'], 'version')}",
    "run.left": lambda f: f"{counted(f['files'], 'file')} left by runs that did not commit, such as {f['example']}: to be deleted",
    "heal.planned": lambda f: f"would heal {f['key']} from version {f['from_version']} ({f['why']})",
    "mark.planned": lambda f: f"would mark {f['key']} ({f['why']})",
    "eviction.planned": lambda f: f"would evict {f['key']}: {f['why']}",
    "forget.planned": lambda f: f"would forget snapshot {f['snapshot']} of {f['time'][:16]} from {f['host']}",
    "probation.explained": lambda f: (
        f"{f['host']} {', '.join(f['paths'])}: what came in the last {f['days']:g} days is kept, whatever the policy says: "
        + (counted(f["waiting"], "snapshot") + (f", the first of them until {f['next'][:16]}" if f["next"] else ""))
        + f". The policy speaks of the {f['counting']} before them"
        + (f"; {f['suspect']} suspect: kept, and counting for nothing" if f["suspect"] else "")
    ),
    "suspicion.explained": lambda f: f"snapshots/{f['snapshot']} is suspect: {'; '.join(f['reasons'])}",
    "plan.finished": lambda f: (
        f"plan: {f['heal']} to heal, {f['mark']} to mark, {f['evict']} to evict, {f['new']} new; nothing was changed"
    ),
    "object.healed": lambda f: f"healed {f['key']} ({f['why']})",
    "object.evicted": lambda f: f"evicted {f['key']}: {f['why']}",
    "object.taken_back": lambda f: f"took {f['key']} back: a backup that was in flight needs it",
    "objects.admitted": lambda f: (
        f"admitted {counted(f['snapshots'], 'snapshot')}, {counted(f['packs'], 'pack')}, {counted(f['indexes'], 'index', 'indexes')}"
    ),
    "salvage.failed": lambda f: f"nothing could be salvaged of {f['key']}, which stays as it is: {f['reason']}",
    "snapshot.incomplete": lambda f: f"{f['key']} lacks data, and stays out",
    "retention.judged": lambda f: (
        f"snapshots: {f['counting']} counting, {f['in_probation']} in probation, {f['suspect']} suspect, {f['forget']} to forget"
    ),
    "retention.held": lambda f: f"nothing is forgotten: {f['reason']}",
    "retention.limited": lambda f: f"{f['host']} {', '.join(f['paths'])}: {f['reason']}",
    "snapshot.forgotten": lambda f: f"forgot snapshot {f['snapshot']} of {f['time'][:16]} from {f['host']}",
    "prune.finished": lambda f: f"pruned: {counted(f['deleted'], 'file')} to delete, {f['written']} written",
    "restic.repeated": lambda f: f"restic {f['command']} is run again: {f['reason']}",
    "prune.skipped": lambda f: f"prune waits: {f['reason']}",
    "check.finished": _checked,
    "cache.refused": lambda f: (
        f"no cache for restic, which makes it slow: it may need {f['needs']}, and {f['folder']} has {f['free']} free"
    ),
    "marking.postponed": lambda f: f"no pack is deleted now: {f['reason']}",
    "versions.released": lambda f: f"released {counted(f['versions'], 'version')}: the bucket's lifecycle rule may take them",
    "release.failed": lambda f: f"nothing was released, so nothing expires: {f['reason']}",
    "run.committed": lambda f: f"committed as entry {f['sequence']}: {counted(f['forgotten'], 'snapshot')} forgotten, {_doomed(f)}",
    "run.failed": lambda f: f"{f['reason']}\n    → {f['guidance']}",
    "rebalance.recommended": lambda f: f"EC2 may take the instance back soon (since {f['since']})",
    "interruption.noticed": lambda f: f"EC2 takes the instance back at {f['at']} ({f['action']}): this run ends in order",
    "run.interrupted": lambda f: f"interrupted, nothing is lost; left to do: {', '.join(f['repositories']) or 'nothing'}",
    "launch.postponed": lambda f: f"{f['group']}: {f['reason']}: tried again in {f['seconds']:.0f} s\n    → {f['guidance']}",
    "attempt.started": lambda f: f"{f['group']}: attempt {f['attempt']} of {f['of']}, for {', '.join(f['repositories'])}",
    "run.signalled": lambda _: "was asked to end, and ended in order; nothing is lost",
    "call.retried": lambda f: f"{f['call']} failed ({f['reason']}), repeated in {f['wait_s']} s",
    "run.billed": lambda f: (
        ("what this run cost is not known" if f["usd"] is None else f"this run cost {f['usd']:.4f} USD")
        + f", {f['requests']:.4f} of it for {counted(f['reads'] + f['writes'], 'request')} at S3's list price"
        + (f"; old versions kept as evidence: {size(f['kept'])}, {f['kept_usd_month']:.4f} USD a month" if f["kept"] else "")
        + (f"; the month's budget is {f['month_budget']:.2f} USD, {f['month_before']:.4f} spent before" if "month_budget" in f else "")
    ),
    "agent.lost": lambda f: (
        f"the agent was lost: {f['reason']} (status {f['status']}). The next attempt or run settles it. {f['last_words']}".rstrip()
    ),
    "instance.launched": lambda f: f"{f['group']}: launched {f['instance']}{_made_of(f)}; it ends by {f['deadline'][:16]}Z",
    "instance.reached": lambda f: f"{f['instance']} answers",
    "image.step": lambda f: f"{f['instance']}: {f['step']} took {f['seconds']} s",
    "image.made": lambda f: f"{f['image']} was made from {f['instance']} in {f['seconds']} s",
    "keys.given": lambda f: f"{f['instance']} has keys of the store" + (f" until {f['until']}" if f["until"] else ""),
    "keys.failed": lambda f: f"no new keys of the store for {f['instance']}: {f['reason']}",
    "connection.lost": lambda f: (
        f"the connection to {f['instance']} was cut after {counted(f['lines'], 'line')} ({f['reason']}): trying again"
    ),
    "instance.billed": lambda f: (
        f"{f['group']}: {f['instance']} ran {f['seconds'] / 60:.0f} min ({', '.join(filter(None, (f['type'], f['market'])))}): "
        + (f"its cost is not known: {f['why']}" if f["usd"] is None else f"{f['usd']:.4f} USD")
    ),
    "termination.failed": lambda f: (
        f"{f['group']}: {f['instance']} could not be terminated: {f['reason']}\n"
        "    → it ends by its deadline; maintainer sweep ends it sooner"
    ),
    "gateway.launched": lambda f: f"{f['group']}: launched {f['instance']}, {f['type']} {f['market']} in {f['zone']}, as its gateway",
    "gateway.answered": lambda f: f"{f['group']}: {f['instance']} answers, {f['seconds']} s after its launch",
    "gateway.moved": lambda f: f"{f['group']}: {f['instance']} serves at {f['address']} from now on",
    "gateway.ended": lambda f: f"{f['group']}: ended {f['instance']}, which served before",
    "orphan.ended": lambda f: f"ended {f['id']} of run {f['run']} ({f['group']}) in {f['region']}{cost_of(f['usd'])}: {f['reason']}",
    "instance.terminated": lambda f: f"{f['group']}: terminated {f['instance']}",
}


_MANY = frozenset(
    {
        "object.healed",
        "object.evicted",
        "object.taken_back",
        "snapshot.incomplete",
        "heal.planned",
        "mark.planned",
        "forget.planned",
        "suspicion.explained",
    }
)
"""Events that come by the thousand: the first few are shown, the rest counted."""
_KEYS = ("key", "example", "subject")
"""Fields that hold a key below the repository's prefix."""
SHOWN = 3
LOOKED_AT = 100
"""How many findings of a kind are held to be told together; the others are counted."""


@dataclass
class _Held:
    """What of one repository waits to be told together."""

    many: Counter[str] = field(default_factory=Counter)
    last: Event | None = None
    findings: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    digits: int = LEAST

    def cut(self, event: Event) -> Event:
        """Cut the ids of an event to the digits that tell them apart."""
        ids = {name: shortened(str(event.fields[name]), self.digits) for name in _KEYS if name in event.fields}
        if "snapshot" in event.fields:
            ids["snapshot"] = shortened(f"snapshots/{event.fields['snapshot']}", self.digits).partition("/")[2]
        return replace(event, fields={**event.fields, **ids}) if ids else event

    def rest(self) -> Iterator[str]:
        for name, count in self.many.items():
            if count > SHOWN and self.last is not None:
                yield _line(self.last, f"… and {count - SHOWN} more {name.partition('.')[2].replace('_', ' ')}")
        self.many.clear()


class Narrator:
    """Turns events into lines, in order. Holds back what belongs together until it is complete, whatever else comes in between."""

    def __init__(self) -> None:
        self._held: dict[str | None, _Held] = {}
        self._is_plan = False
        self._failed: list[str] = []

    def lines(self, event: Event) -> Iterator[str]:
        """Yield the lines that this event completes."""
        held = self._held.setdefault(event.repository, _Held())
        if event.event == "ids.shortened":
            told: Any = event.fields["digits"]
            held.digits = min(max(LEAST, told), WHOLE)
            return
        event = held.cut(event)
        if event.event in _MANY:
            held.many[event.event] += 1
            held.last = event
            if held.many[event.event] <= SHOWN:
                yield _line(event, _LINES[event.event](event.fields))
            return
        yield from held.rest()
        if event.event == "finding.reported":
            if event.fields["standing"] in ("new", "open"):
                kind = str(event.fields["standing"]), _class(event.fields)
                held.counts[kind] += 1
                if held.counts[kind] <= LOOKED_AT:
                    held.findings.setdefault(kind, []).append(event)
            return
        for kind, group in held.findings.items():
            yield _findings(group, held.counts[kind])
        held.findings.clear()
        held.counts.clear()
        self._is_plan |= event.event == "plan.finished"
        if event.event == "run.closed" and (event.source == "agent" or self._is_plan):
            return
        if event.event == "prune.finished" and not event.fields["deleted"] and not event.fields["written"]:
            return
        yield from self._line(event)

    def _line(self, event: Event) -> Iterator[str]:
        if event.event == "run.failed":
            self._failed.append(f"{event.repository or 'the run'}: {event.fields['reason']}")
        if event.event == "run.closed":
            yield self._closing(event)
        elif (write := _LINES.get(event.event)) is not None:
            yield _line(event, write(event.fields))

    def _closing(self, event: Event) -> str:
        """Say how the run ended, and why it did not commit."""
        code: Any = event.fields["exit_code"]
        outcome = OUTCOMES.get(code, "ended by a signal")
        if code == ExitCode.NOT_COMMITTED and self._failed:
            more = f" (and {len(self._failed) - 1} more, above)" if len(self._failed) > 1 else ""
            outcome = f"{outcome}: {self._failed[0]}{more}"
        return _line(event, f"exit {code}: {outcome}" + ("" if self._is_plan else f" (run {event.run_id})"))


def _class(fields: Fields) -> str:
    """Return what a finding is told together with: others of its kind, and of suspects those that the same speaks against."""
    kind = str(fields["kind"])
    return f"{kind} ({suspicion(str(fields['detail'])).value})" if kind == Kind.SUSPECT.value else kind


def _findings(group: list[Event], count: int) -> str:
    """Tell all findings of one kind and standing at once: so many, of which these are the first."""
    first = group[0].fields
    more = f" and {count - SHOWN} more" if count > SHOWN else ""
    indent = f"\n{' ' * 17}"
    if len({event.fields["detail"] for event in group}) > 1 and first["standing"] != "open":
        # Each for a reason of its own: all are told.
        each = "".join(f"{indent}{event.fields['subject']}: {event.fields['detail']}" for event in group[:SHOWN])
        return _line(group[0], f"NEW: {count} {_class(first)}:{each}{indent * bool(more)}{more.lstrip()}{indent}→ {first['do']}")
    subjects = ", ".join(str(event.fields["subject"]) for event in group[:SHOWN])
    if first["standing"] == "open":
        return _line(group[0], f"still open: {count} {_class(first)}: {subjects}{more} (maintainer status)")
    detail = f" — {first['detail']}" if first["detail"] else ""
    return _line(group[0], f"NEW: {_class(first)}: {subjects}{more}{detail}{indent}→ {first['do']}")


def _line(event: Event, text: str) -> str:
    where = f"{event.repository:<12} " if event.repository else ""
    return escape_lines(f"{MARKS[event.level]} {where}{text}")
