"""`maintainer accept | endorse | reject | undelete | ack`: a person's judgement, appended to a chain of its own."""

from __future__ import annotations

import argparse
import getpass
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from maintainer.cli import common, suspects
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.cli.suspects import CLASSES, is_class_or_span
from maintainer.core import abridging
from maintainer.core.amounts import counted, size
from maintainer.core.entries import CONFIG_AT, LET_GO, READING_AT, Group, accept_subjects, group_subject
from maintainer.core.errors import ArgumentError, ExitCode, Problem
from maintainer.core.events import escape
from maintainer.core.findings import Kind, Standing
from maintainer.core.ledger import Fold
from maintainer.core.moments import to_minute, to_text
from maintainer.core.records import ADOPTED, Record, State
from maintainer.core.repofiles import FileType, is_meant
from maintainer.core.revert import NOTHING_TRUE
from maintainer.core.shortids import digits, several, shortened
from maintainer.edges import secrets
from maintainer.settings.load import Settings
from maintainer.settings.models import RepositorySection


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands."""
    subjects = {
        "accept": (
            "WHAT",
            "*",
            "`config`, a new key's id, a host, or `reading:CODE`; without: the repository as the first report shows it",
        ),
        "endorse": (
            "WHICH",
            "+",
            f"an id, or its beginning; or what speaks against them: {', '.join(CLASSES)}; or days, such as 2026-03-01..2026-03-05",
        ),
        "reject": ("ID", "+", "a snapshot's id, or the beginning of it; or `undecided`, or `unopened`: all such files"),
        "undelete": ("ID", "+", "a file's id, or the beginning of it, as screens show it"),
        "ack": ("FINDING", "+", "KIND, or KIND:SUBJECT as screens show it"),
    }
    for action, (subject, count, text) in subjects.items():
        parser = declare(commands, action)
        parser.add_argument("repository", metavar="REPOSITORY", help="a repository's name in the configuration")
        # Without a default argparse takes `*` for required, and says so where the repository is what is missing.
        parser.add_argument("subjects", metavar=subject, nargs=count, help=text, default=[])
        if action in ("accept", "endorse", "reject"):
            parser.add_argument("--confirm", metavar="CODE", default="", help="the code that was shown with the snapshots")
        common.add_config(parser)
        parser.set_defaults(run=run, action=action)


@dataclass(frozen=True, slots=True)
class Decision:
    """What a judgement is about, how a person is told it, and, where they must see it first, what becomes of it."""

    subjects: tuple[str, ...]
    told: list[str]
    shown_first: str = ""


def run(arguments: argparse.Namespace) -> int:
    """Append the judgement."""
    chosen = common.settings(arguments)
    repository = common.only(chosen, arguments.repository)
    state = common.state(chosen, repository)
    known = state.ledger().fold
    if arguments.action == "endorse" and any(map(is_class_or_span, arguments.subjects)):
        made = _endorsing(_suspects(chosen, repository, arguments.subjects))
    else:
        made = _DECISIONS[arguments.action](known, arguments.subjects, repository)
    if not made.subjects:
        said = {"judgement": None, "action": arguments.action, "subjects": [], "told": made.told}
        say(json.dumps(said) if arguments.json else "\n".join(map(escape, made.told)))
        return ExitCode.COMMITTED
    if made.shown_first and (code := _code(known, made.subjects)) != arguments.confirm:
        return _show_first(arguments, made, code)
    at = to_text(common.clock(chosen).now())
    judgement = state.append_judgement(arguments.action, made.subjects, who=getpass.getuser(), at=at)
    if arguments.json:
        answer = {"judgement": judgement.number, "action": judgement.action, "subjects": list(judgement.subjects), "told": made.told}
        say(json.dumps(answer))
    else:
        for one in made.told:
            say(escape(one))
        say("the next run heeds it")
    return ExitCode.COMMITTED


def _accept(known: Fold, words: list[str], repository: RepositorySection) -> Decision:
    name = repository.name
    if any(word.startswith(READING_AT) for word in words):
        told = "chooses which repository lies there: what belongs to another goes behind delete markers, and stays in its versions"
        return Decision(_reading(known, words, name), [told])
    unknown = _unknown_groups(known, repository)
    if words:
        return _changes(known, words, unknown, name)
    if not known.head[0]:
        raise ArgumentError((Problem(name, "no run yet", "a first report to accept", "maintainer run --once"),))
    confirmed = () if known.expected or repository.expect else unknown
    left = [f"{_named(one)} is not confirmed: `maintainer accept {name} {one[0]}` does it" for one in unknown if one not in confirmed]
    if known.accepted and not confirmed:
        return Decision((), [f"{name} is accepted already: nothing waits for it", *left])
    hidden = sorted(key for key, one in known.records.select("snapshots/", State.DOOMED) if one.reason == ADOPTED)
    length = digits(lambda: known.records) if hidden else 0
    goes = [f"lets {shortened(key, length)} go, which was there at {to_minute(known.records[key].first_seen)}" for key in hidden]
    what = f"nothing was done. To bring what was hidden back instead: maintainer undelete {name} ID" if hidden else ""
    return Decision(accept_subjects(confirmed), [*_accepting(known, confirmed), *goes, *left], what)


def _unknown_groups(known: Fold, repository: RepositorySection) -> tuple[Group, ...]:
    """Return the hosts and paths of which snapshots came, and that neither the configuration nor a person has named."""
    expected = {abridging.group(one.host, one.paths) for one in repository.expect} | {abridging.group(*one) for one in known.expected}
    return tuple(one for one in known.observed if one not in expected)


def _named(group: Group) -> str:
    host, paths = group
    return f"{host} with {', '.join(paths)}"


def _endorse(known: Fold, ids: list[str], repository: RepositorySection) -> Decision:
    subjects = _snapshots(known, ids, repository.name, (State.ADMITTED,))
    return Decision(subjects, [f"endorses {line}" for line in _described(known, subjects)])


def _endorsing(described: Mapping[str, str]) -> Decision:
    subjects = tuple(sorted(described))
    return Decision(subjects, [f"endorses {described[key]}" for key in subjects], "nothing was done. They count from the next run on")


def _reject(known: Fold, ids: list[str], repository: RepositorySection) -> Decision:
    if any(word in LET_GO for word in ids):
        return _let_go(known, ids, repository.name)
    subjects = _snapshots(known, ids, repository.name, (State.ADMITTED, State.INCOMPLETE))
    what = "nothing was done. They go with the next run, and what only they need a week later"
    return Decision(subjects, [f"rejects {line}" for line in _described(known, subjects)], what)


def _let_go(known: Fold, words: list[str], name: str) -> Decision:
    """Let go of all that is undecided now, or that no key of ours opens. ArgumentError where no run has found any."""
    if strange := [word for word in words if word not in LET_GO]:
        found = f"an id beside `{'`, `'.join(LET_GO)}`"
        raise ArgumentError((Problem(f"{name}: {strange[0]}", found, "one or the other", "reject them one after the other"),))
    live = [r.finding for r in known.findings.values() if r.finding.kind.value in words and r.standing is not Standing.GONE]
    live = [one for one in live if one.subject not in known.records]
    if not live:
        do = f"maintainer status --repository {name} lists what there is"
        raise ArgumentError((Problem(f"{name}: {' '.join(words)}", "nothing of the kind", "what the last run found", do),))
    length = digits(lambda: known.records)
    told = [f"rejects {shortened(one.subject, length)} ({one.kind.value}: {one.detail or 'no true version was seen yet'})" for one in live]
    return Decision(tuple(sorted(set(words))), told, "nothing was done. They go behind delete markers with the next run")


def _undelete(known: Fold, ids: list[str], repository: RepositorySection) -> Decision:
    subjects = _records(known, ids, repository.name)
    told = [f"takes back {counted(len(subjects), 'file')} of {repository.name}"]
    if any(key.startswith(f"{FileType.SNAPSHOT.value}/") for key in subjects):
        told.append(
            f"snapshots among them are kept, and never the reason to forget another until `maintainer endorse {repository.name} ID`"
        )
    return Decision(subjects, told)


def _acknowledge(known: Fold, names: list[str], repository: RepositorySection) -> Decision:
    subjects = _findings(known, names, repository.name)
    return Decision(subjects, [f"acknowledges {subject}" for subject in subjects])


_DECISIONS: Mapping[str, Callable[[Fold, list[str], RepositorySection], Decision]] = {
    "accept": _accept,
    "endorse": _endorse,
    "reject": _reject,
    "undelete": _undelete,
    "ack": _acknowledge,
}


def _snapshots(known: Fold, ids: list[str], name: str, states: tuple[State, ...]) -> tuple[str, ...]:
    """Return the keys of the snapshots that are meant."""
    folder = f"{FileType.SNAPSHOT.value}/"
    subjects: set[str] = set()
    for one in ids:
        found = [key for key in known.records if key.startswith(folder) and is_meant(key, one)]
        fitting = [key for key in found if known.records[key].state in states]
        if len(fitting) != 1:
            what = several(fitting) if fitting else f"a snapshot that is {known.records[found[0]].state.value}" if found else "no snapshot"
            is_gone = bool(found) and all(known.records[key].state in (State.DOOMED, State.EVICTED) for key in found)
            do = f"maintainer undelete {name} {one} takes it back" if is_gone else "restic snapshots"
            problem = Problem(f"{name}: {one}", what, f"the id of one that is {' or '.join(s.value for s in states)}", do)
            raise ArgumentError((problem,))
        subjects.add(fitting[0])
    return tuple(sorted(subjects))


def _described(known: Fold, subjects: tuple[str, ...]) -> list[str]:
    """Say of each snapshot what the ledger knows."""
    lines, length = [], digits(lambda: known.records)
    for key in subjects:
        record = known.records[key]
        reach = f", reaches {size(record.extent.size)}" if record.extent else ""
        found = [r.finding for r in known.findings.values() if r.finding.subject == key and r.standing is not Standing.GONE]
        why = "; ".join(f"{one.kind.value}: {one.detail}" for one in found) or "nothing speaks against it"
        lines.append(f"{shortened(key, length)}, seen {to_minute(record.first_seen)}{reach} ({why})")
    return lines


def _code(known: Fold, subjects: tuple[str, ...]) -> str:
    """Return what proves that a person has seen these, as the ledger has them now."""
    return hashlib.sha256(repr((known.head, known.judgements, subjects)).encode()).hexdigest()[:6]


def _suspects(chosen: Settings, repository: RepositorySection, words: list[str]) -> dict[str, str]:
    """Return the suspects that are meant by a class or a span, and how each is; ArgumentError where there are none, or ids are mixed in."""
    name = repository.name
    if not all(map(is_class_or_span, words)):
        found = next(one for one in words if not is_class_or_span(one))
        raise ArgumentError(
            (Problem(f"{name}: {found}", "an id beside a class or a span", "one or the other", "endorse them one after the other"),)
        )
    seen = beholder("endorse", chosen, repository)
    try:
        meant = suspects.chosen(seen, lambda: secrets.read(repository.password, chosen.access()), words)
    finally:
        seen.close()
    if not meant:
        do = f"maintainer plan --repository {name} lists them"
        raise ArgumentError((Problem(f"{name}: {' '.join(words)}", "no suspect snapshot", "one that is", do),))
    return meant


def _show_first(arguments: argparse.Namespace, made: Decision, code: str) -> int:
    if arguments.confirm:
        found = f"the code {arguments.confirm}"
        raise ArgumentError((Problem("--confirm", found, "the code for these snapshots, as they stand now", "run it again without"),))
    if arguments.json:
        say(json.dumps({"would": made.told, "confirm": code}))
    else:
        for one in made.told:
            say(escape(one))
        say(f"{made.shown_first}: add --confirm {code} to do it")
    return ExitCode.COMMITTED


def _accepting(known: Fold, confirmed: Sequence[Group]) -> list[str]:
    told = [f"confirms {_named(one)}" for one in confirmed]
    if adopted := sum(record.reason == ADOPTED for record in known.records.values()):
        told.append(f"lets {counted(adopted, 'file')} go that {'was' if adopted == 1 else 'were'} hidden before first contact")
    if any(r.finding.kind is Kind.DAMAGED_PACK and r.standing is not Standing.GONE for r in known.findings.values()):
        told.append("lets what is sound in damaged packs be written anew, and the rest of them go")
    return told or ["accepts it as it is"]


def _reading(known: Fold, subjects: list[str], name: str) -> tuple[str, ...]:
    """Return what says which repository is meant; ArgumentError where that is no code, or a run has pinned one already."""
    subject = " ".join(subjects)
    if not re.fullmatch(f"{READING_AT}[0-9a-f]{{32}}", subject):
        form = f"`{READING_AT}` and a code of 32 digits, and nothing else"
        raise ArgumentError(
            (Problem(f"{name}: {subject}", "no code of a repository", form, f"maintainer plan --repository {name} prints it"),)
        )
    if known.head[0]:
        do = "for another repository take another prefix, or another [state] location"
        raise ArgumentError((Problem(f"{name}: {subject}", "a repository that a run has pinned", "one that no run has met", do),))
    return (subject,)


def _changes(known: Fold, names: list[str], unknown: Sequence[Group], name: str) -> Decision:
    """Decide on what a run reported: a config that was overwritten, in that version; new keys; hosts that nobody has named."""
    new_keys = [r.finding for r in known.findings.values() if r.finding.kind is Kind.NEW_KEY]
    offered = {name: f"keys/{name}" for one in new_keys for name in re.findall("[0-9a-f]{64}", f"{one.subject} {one.detail}")}
    changed = [f"{kind.value}:config" for kind in (Kind.MIGRATED, Kind.OVERWRITTEN)]
    config = next((r.finding for identity in changed if (r := known.findings.get(identity)) and r.standing is not Standing.GONE), None)
    subjects: list[str] = []
    told: list[str] = []
    for one in names:
        groups = [group for group in unknown if group[0] == one]
        found = [key for key in offered.values() if is_meant(key, one)]
        if one == "config" and config is not None:
            subjects.append(f"{CONFIG_AT}{config.evidence}")
            told.append("accepts config")
        elif len(found) == 1:
            subjects.append(found[0])
            told.append(f"accepts {found[0]}")
        elif groups:
            subjects += map(group_subject, groups)
            told += [f"confirms {_named(group)}" for group in groups]
        else:
            do = f"name `config`, the id of a new key, or a host, as a run reported it: maintainer status --repository {name}"
            raise ArgumentError((Problem(f"{name}: {one}", "nothing of that name was reported", "a reported change", do),))
    return Decision(tuple(subjects), told)


def _records(known: Fold, ids: list[str], name: str) -> tuple[str, ...]:
    """Return the keys that undelete concerns: of what was hidden before first contact all packs and indexes come too."""
    lost = {key: record for key, record in known.records.items() if record.state in (State.EVICTED, State.DOOMED)}
    subjects: set[str] = set()
    for one in ids:
        found = [key for key in lost if is_meant(key, one)]
        if len(found) != 1:
            what = several(found) if found else "no evicted, doomed or hidden file"
            problem = Problem(f"{name}: {one}", what, "the id of one", f"maintainer status --repository {name} --json lists them")
            raise ArgumentError((problem,))
        if why := _why_not_back(found[0], lost[found[0]]):
            problem = Problem(f"{name}: {one}", why, "what is worth taking back", "leave it: its versions stay in the bucket as evidence")
            raise ArgumentError((problem,))
        subjects.add(found[0])
        if lost[found[0]].reason == ADOPTED and found[0].startswith(f"{FileType.SNAPSHOT.value}/"):
            # A key may have been retired: it comes by its own name alone.
            folders = tuple(f"{kind.value}/" for kind in (FileType.PACK, FileType.INDEX))
            subjects |= {key for key, record in lost.items() if record.reason == ADOPTED and key.startswith(folders)}
    return tuple(sorted(subjects))


def _why_not_back(key: str, record: Record) -> str:
    """Say why taking a file back would gain nothing, and harm: what was never true, and an index that was not believed."""
    if record.state is State.EVICTED and record.reason == NOTHING_TRUE:
        return "a file of which no version is what its name says"
    if record.state is State.EVICTED and key.startswith(f"{FileType.INDEX.value}/"):
        return "an index that was not believed; what its packs really hold stands in one of ours"
    return ""


def _findings(known: Fold, names: list[str], name: str) -> tuple[str, ...]:
    """Return the findings that are meant: a kind means all of that kind, a kind and a subject one of them."""
    live = [reported.finding for reported in known.findings.values() if reported.standing is not Standing.GONE]
    subjects: set[str] = set()
    for one in names:
        kind, _, subject = one.partition(":")
        found = [f.identity for f in live if f.kind.value == kind and (not subject or f.subject == subject or is_meant(f.subject, subject))]
        if not found or (subject and len(found) > 1):
            what = several([one.partition(":")[2] for one in found]) if found else "no such finding"
            do = f"maintainer status --repository {name} lists them"
            raise ArgumentError((Problem(f"{name}: {one}", what, "KIND or KIND:SUBJECT of an open finding", do),))
        subjects.update(found)
    return tuple(sorted(subjects))
