"""`maintainer key list | rotate | retire`: another password for a repository, without a host that may delete anything."""

from __future__ import annotations

import argparse
import getpass
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeAlias

from maintainer.agent import unlock
from maintainer.agent.picture import verified
from maintainer.agent.run import Run
from maintainer.cli import common
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.entries import Judgement
from maintainer.core.errors import ArgumentError, ExitCode, Problem
from maintainer.core.events import escape
from maintainer.core.moments import to_text
from maintainer.core.repofiles import FileType, is_meant
from maintainer.core.shortids import digits, several, shortened
from maintainer.core.view import View
from maintainer.edges import restic, secrets
from maintainer.edges.viewserver import Permissions
from maintainer.format.boundary import FormatError
from maintainer.format.files import KeyFile, open_key
from maintainer.settings.load import LAUNCHED, Settings, on_this_machine
from maintainer.settings.models import RepositorySection
from maintainer.settings.values import Mistake, parse_password

Told: TypeAlias = tuple[dict[str, object], list[str]]
"""What a program is told, and what a person is."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "key")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    texts = {
        "list": "which keys open the repository, and which of them the configured password opens",
        "rotate": "add a key for a new password; the old one stays until you retire it",
        "retire": "let keys go: their passwords open the repository no more",
    }
    for action, text in texts.items():
        one = actions.add_parser(action, help=text, description=text)
        one.add_argument("repository", metavar="REPOSITORY", help="a repository's name in the configuration")
        if action == "rotate":
            one.add_argument("--to", metavar="SOURCE", required=True, help="where the new password is: ssm:, file:, env: ...")
        if action == "retire":
            one.add_argument("ids", metavar="ID", nargs="+", help="a key's id, or the beginning of it, as `key list` shows it")
        common.add_config(one)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at the repository as a run would, and do it."""
    chosen = common.settings(arguments)
    repository = common.only(chosen, arguments.repository)
    if arguments.action == "rotate":
        _check_source(chosen, repository, arguments.to)
    seen = beholder("key", chosen, repository)
    password = secrets.read(seen.job.password, chosen.access())
    shown = verified(seen, lambda: password)
    if not seen.fold.head[0]:
        raise ArgumentError((Problem(seen.job.name, "no run yet", "a first run that pins its keys", "maintainer run --once"),))
    keys = {key: file for key, (_, file) in sorted(unlock.trusted_keys(seen).items())}
    match arguments.action:
        case "list":
            told, lines = _list(seen, keys, password)
        case "rotate":
            new = secrets.read(arguments.to, chosen.access())
            base = View({key: version for key, version in shown.items() if key == "config" or key in keys})
            told, lines = _rotate(seen, base, keys, Change(password, new, arguments.to))
        case _:
            told, lines = _retire(seen, keys, _named(keys, arguments.ids, seen.job.name), password)
    say(json.dumps(told) if arguments.json else "\n".join(escape(line) for line in lines))
    return ExitCode.COMMITTED


@dataclass(frozen=True, slots=True)
class Change:
    """From one password to another, and where the new one comes from."""

    old: str = field(repr=False)
    new: str = field(repr=False)
    source: str


def _check_source(chosen: Settings, repository: RepositorySection, source: str) -> None:
    """Refuse a source that the configuration would not take for this repository. ArgumentError."""
    try:
        parse_password(source)
    except Mistake as error:
        mistake: Mistake | None = error
    else:
        is_launched = any(one.name == repository.group and one.compute in LAUNCHED for one in chosen.groups)
        mistake = on_this_machine(source) if is_launched else None
    if mistake is not None:
        raise ArgumentError((Problem("--to", mistake.found, mistake.expected, mistake.do),))


def _list(seen: Run, keys: dict[str, KeyFile], password: str) -> Told:
    length = digits(seen.every_key)
    described = [_described(key, file, password) for key, file in keys.items()]
    return {"keys": described}, [_line(one, length) for one in described]


def _rotate(seen: Run, base: View, keys: dict[str, KeyFile], change: Change) -> Told:
    if change.new == change.old:
        problem = Problem(f"--to {change.source}", "the password that is configured", "a new password", "make one, and name its source")
        raise ArgumentError((problem,))
    made = _opened_by(change.new, keys) or _add(seen, base, change)
    judged = _judge(seen, "accept", (made,))
    others, length = [key for key in keys if key != made], digits(seen.every_key)
    return {"judgement": judged.number, "key": made, "others": others}, [
        f"{shortened(made, length)} opens {seen.job.name} with the new password; the old password still does",
        "next: give the hosts the new password, and the configuration its source:",
        f'  password = "{change.source}"',
        f"then let the old go: maintainer key retire {seen.job.name} {' '.join(shortened(key, length) for key in others)}",
    ]


def _retire(seen: Run, keys: dict[str, KeyFile], subjects: tuple[str, ...], password: str) -> Told:
    if _opened_by(password, {key: file for key, file in keys.items() if key not in subjects}) is None:
        do = f"maintainer key rotate {seen.job.name}, and then name the new source in the configuration: password = ..."
        found = "the configured password opens none of those that would stay"
        raise ArgumentError((Problem(f"{seen.job.name}: key retire", found, "a key to open it with", do),))
    judged, length = _judge(seen, "retire", subjects), digits(seen.every_key)
    return {"judgement": judged.number, "retired": list(subjects)}, [
        *(f"retires {_line(_described(key, keys[key], password), length)}" for key in subjects),
        "the next run heeds it. Who had that password may have kept the master key, which no key file changes:",
        "after a theft keep it from reading the bucket too, or begin a new repository (docs/attacks.md)",
    ]


def _add(seen: Run, base: View, change: Change) -> str:
    """Let restic make the key, on a view that keeps it in memory, and put what it made; return its name in the bucket."""
    made: dict[str, bytes] = {}
    descriptor = os.memfd_create("password")
    try:
        os.write(descriptor, change.new.encode())
        with seen.serve(base, Permissions(write=True, kinds=frozenset({FileType.KEY})), made) as server:
            seen.restic.demand(server.address, change.old, restic.add_key_argv(f"/proc/{os.getpid()}/fd/{descriptor}"))
    finally:
        os.close(descriptor)
    ((key, body),) = made.items()
    seen.store.put(key, body)
    return key


def _judge(seen: Run, action: str, subjects: tuple[str, ...]) -> Judgement:
    return seen.state.append_judgement(action, subjects, who=getpass.getuser(), at=to_text(seen.now))


def _opened_by(password: str, keys: dict[str, KeyFile]) -> str | None:
    for key, file in keys.items():
        with suppress(FormatError):
            open_key(file, password)
            return key
    return None


def _named(keys: dict[str, KeyFile], ids: list[str], name: str) -> tuple[str, ...]:
    subjects: set[str] = set()
    for one in ids:
        found = [key for key in keys if is_meant(key, one)]
        if len(found) != 1:
            what = several(found) if found else "no key that is trusted"
            raise ArgumentError((Problem(f"{name}: {one}", what, "the id of one", f"maintainer key list {name}"),))
        subjects.add(found[0])
    return tuple(sorted(subjects))


def _described(key: str, file: KeyFile, password: str) -> dict[str, object]:
    is_configured = _opened_by(password, {key: file}) is not None
    return {"key": key, "user": file.user, "host": file.host, "created": file.created, "configured": is_configured}


def _line(described: dict[str, object], length: int) -> str:
    configured = "; the configured password opens it" if described["configured"] else ""
    created = str(described["created"])[:16]
    return f"{shortened(str(described['key']), length)}  {described['user']}@{described['host']}, {created}{configured}"
