"""`maintainer enroll HOST`: make a host one of ours, with one command."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath

from maintainer.agent import preflight, unlock
from maintainer.agent.pipeline import contact
from maintainer.agent.run import Run
from maintainer.cli import common, ways
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.cli.rebase import rebase
from maintainer.core.errors import AccessDeniedError, ArgumentError, ExitCode, Problem
from maintainer.core.job import Access
from maintainer.edges import restic, secrets
from maintainer.edges.clock import SystemClock
from maintainer.hosts.enrolment import Enrolment, Tools, enroll, foresee
from maintainer.hosts.hostfiles import Host
from maintainer.settings import editing
from maintainer.settings.load import Settings
from maintainer.settings.models import GroupSection, HostsSection, RepositorySection
from maintainer.settings.values import Mistake, parse_duration

LOCAL = "/var/backups/restic"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    one = declare(commands, "enroll", "Run again, it does what is not done yet.")
    one.add_argument("host", metavar="HOST", help="its name: that of its repository, of its folder in the bucket, of its snapshots")
    one.add_argument("--path", action="append", metavar="PATH", help="what it backs up; may be repeated")
    one.add_argument("--every", default="1d", metavar="TIME", help="how often: 1h, 6h, 12h, 1d or 7d (default: 1d)")
    one.add_argument("--local", default=LOCAL, metavar="PATH", help=f"where its own local repository lies (default: {LOCAL})")
    one.add_argument(
        "--output", type=Path, default=Path(), metavar="FOLDER", help="where its files are written, in a folder HOST (default: here)"
    )
    one.add_argument("--dry-run", action="store_true", help="only say what would be done")
    one.add_argument("--rebase", action="store_true", help="the state store was lost: go on with a new ledger, and lose no backup")
    ways.add_choice(one)
    one.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Enroll a host."""
    chosen = common.settings(arguments)
    if arguments.rebase:
        return _rebase(arguments, chosen)
    if not arguments.path:
        raise ArgumentError((Problem("--path", "nothing", "what the host backs up", "name each folder: --path /srv --path /etc"),))
    name = common.host_name(arguments.host)
    group, section = ways.section(chosen, arguments.group)
    host = Host(name, tuple(_path(path) for path in arguments.path), _every(arguments.every), _path(arguments.local))
    place = ways.place(chosen, group, section, name)
    wanted = Enrolment(host, place, f"{section.passwords}/{name}", arguments.output / name)
    told: list[str] = []
    tell: Callable[[str], None] = told.append if arguments.json else say
    access = common.writing(chosen, arguments.profile)
    tools = Tools(restic.find(chosen.restic.path), access, SystemClock(), tell)
    way = ways.way(chosen, group, section, access, name)
    known = next((one for one in chosen.repositories if one.name == name), None)
    repository = known or _repository(wanted, group, section)
    _look(chosen, repository, access, tell)
    if arguments.dry_run:
        foresee(wanted, way, tools)
        tell(f"repository {name} is in the configuration" if known else f"{chosen.path} would get:\n{_block(repository)}")
    else:
        enroll(wanted, way, tools)
        _meet(chosen, repository, access, tell)
        if known:
            tell(f"repository {name} is in the configuration already")
            if known.keep_until:
                tell(f"it says that the host is retired: take keep_until out of {chosen.path}, or no backup of it is missed or forgotten")
        else:
            _append(chosen.path, _block(repository), tell)
    if arguments.json:
        made = {"host": name, "folder": str(wanted.folder), "repository": str(place), "dry_run": arguments.dry_run, "told": told}
        say(json.dumps(made, indent=2))
    elif not arguments.dry_run:
        say(f"\nNow bring it to {name}, install it there, and let nothing of it lie here:")
        say(f"  scp -r {wanted.folder} root@{name}: && ssh root@{name} sh {name}/install.sh && rm -r {wanted.folder}")
        say(f"Then: maintainer run --once --repository {name}")
    return ExitCode.COMMITTED


def _rebase(arguments: argparse.Namespace, chosen: Settings) -> int:
    repository, access = common.only(chosen, arguments.host), common.writing(chosen, arguments.profile)
    _, seen = _seen_as(chosen, access, repository)
    try:
        return rebase(arguments, seen, lambda: secrets.read(repository.password, access))
    finally:
        seen.close()


def _every(text: str) -> timedelta:
    try:
        every = parse_duration(text)
    except Mistake:
        every = timedelta(0)
    if every not in Host.schedules():
        raise ArgumentError((Problem("--every", repr(text), "one of 1h, 6h, 12h, 1d and 7d", "take the next shorter one"),))
    return every


def _path(text: str) -> str:
    path = PurePosixPath(text)
    if not path.is_absolute() or ".." in path.parts or not text.isprintable():
        raise ArgumentError((Problem("--path", repr(text), "a path from the root on, such as /srv", "write it in full"),))
    return str(path)


def _repository(wanted: Enrolment, group: GroupSection, section: HostsSection) -> RepositorySection:
    """Return the repository as the configuration will have it, with the host that is expected: so its first contact needs no person."""
    host = wanted.host
    return RepositorySection.model_validate(
        {
            "name": host.name,
            "group": group.name,
            "location": ways.location(wanted.place),
            "password": wanted.password,
            "keep": section.keep,
            "expect": ({"host": host.name, "paths": host.paths, "every": f"{int(host.every.total_seconds()) // 3600}h"},),
            **({"kms_key": section.kms_key} if section.kms_key else {}),
        }
    )


def _block(made: RepositorySection) -> str:
    """Write its table."""
    keep = "\n".join(f"{rule} = {count}" for rule, count in made.keep.model_dump(exclude={"within", "tags"}).items() if count)
    encrypted = f"kms_key = {editing.quoted(made.kms_key)}\n" if made.kms_key else ""
    (expected,) = made.expect
    paths = ", ".join(map(editing.quoted, expected.paths))
    return f"""
[[repository]]
name = {editing.quoted(made.name)}
group = {editing.quoted(made.group)}
location = {editing.quoted(ways.location(made.location))}
password = {editing.quoted(made.password)}
{encrypted}[repository.expect]
host = {editing.quoted(expected.host)}
paths = [{paths}]
every = "{int(expected.every.total_seconds()) // 3600}h"
[repository.keep]
{keep}
"""


def _seen_as(chosen: Settings, access: Access, repository: RepositorySection) -> tuple[Settings, Run]:
    """Return what a run would work with, had it the credentials of who enrolls."""
    mine = replace(chosen, s3=chosen.s3.model_copy(update={"profile": access.profile}))
    return mine, beholder("enroll", mine, repository)


def _look(chosen: Settings, repository: RepositorySection, access: Access, tell: Callable[[str], object]) -> None:
    """Refuse, before anything is made, a bucket in which no run would work. ConfigurationError, NotFoundError."""
    mine, seen = _seen_as(chosen, access, repository)
    try:
        preflight.check(seen, mine.job("enroll", [repository]))
    except AccessDeniedError as error:
        tell(f"whether the bucket is fit is left to the first run: {error.message}")
    finally:
        seen.close()


def _meet(chosen: Settings, repository: RepositorySection, access: Access, tell: Callable[[str], object]) -> None:
    """Make first contact: what makes the repository this one is pinned before its host ever came.

    HeldError where an earlier ledger was here. A profile that may not write there leaves it to the first run.
    """
    _, seen = _seen_as(chosen, access, repository)
    try:
        seen.survey()
        seen.state.probe()
        seen.read_ledger()
        if not seen.fold.head[0] and unlock.has_earlier_identity(seen):
            raise unlock.ledger_lost("nothing was written there")
        contact(seen, lambda: secrets.read(repository.password, access))
    except AccessDeniedError as error:
        tell(f"first contact is left to the first run: {error.message}")
        return
    finally:
        seen.close()
    tell(f"{repository.location} is known by its config and keys, as they are now: the ledger has them")


def _append(path: Path, block: str, tell: Callable[[str], object]) -> None:
    """Add the repository to the configuration, where that is a file that we may write; else say what to add."""
    if editing.append(path, block):
        tell(f"{path} has the repository, and expects the host: its first contact needs nobody")
    else:
        tell(f"add to the configuration:\n{block}")
