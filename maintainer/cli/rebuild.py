"""`maintainer rebuild REPOSITORY --into NEW`: after a compromise, good snapshots go into a new repository, under a new master key."""

from __future__ import annotations

import argparse
import json
import os

from maintainer.agent.picture import verified
from maintainer.cli import common
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ArgumentError, ExitCode, Problem
from maintainer.core.events import escape
from maintainer.core.moments import to_text
from maintainer.core.view import View
from maintainer.edges import restic, secrets
from maintainer.edges.viewserver import Permissions
from maintainer.settings.load import Settings
from maintainer.settings.models import RepositorySection


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "rebuild", "Enroll the host under a new name first. Run again, it copies what is missing.")
    parser.add_argument("repository", metavar="REPOSITORY", help="the repository to copy from; it is only read")
    parser.add_argument("--into", required=True, metavar="NEW", help="the repository that takes them, of this configuration")
    parser.add_argument("--all", action="store_true", help="every snapshot of the verified view, also what nobody has endorsed")
    parser.add_argument("--dry-run", action="store_true", help="only say which")
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy from the verified view; the old repository is only read."""
    chosen = common.settings(arguments)
    old, new = common.only(chosen, arguments.repository), common.only(chosen, arguments.into)
    if old.name == new.name:
        raise ArgumentError((Problem("--into", f"{new.name} itself", "another repository", "maintainer enroll the host under a new name"),))
    access = chosen.access()
    passwords = secrets.read(old.password, access), secrets.read(new.password, access)
    seen = beholder("rebuild", chosen, old)
    tool = restic.find(chosen.restic.path)
    with seen.serve(View(verified(seen, lambda: passwords[0])), Permissions()) as server:
        there = restic.parse_snapshots(tool.demand(server.address, passwords[0], restic.snapshots_argv()))
        endorsed = seen.state.ledger().fold.endorsed
        wanted = [one for one in there if arguments.all or f"snapshots/{one.id}" in endorsed or one.id in endorsed]
        if not wanted:
            do = f"maintainer endorse {old.name} ID… for those that you have looked at (maintainer serve {old.name}), or --all"
            raise ArgumentError((Problem(old.name, "no endorsed snapshot", "at least one that a person found good", do),))
        if not arguments.dry_run:
            store = {**_credentials(chosen), "RESTIC_FROM_PASSWORD": passwords[0]}
            argv = ("copy", "--from-repo", server.address, *(one.id for one in wanted))
            outcome = tool.run(_location(new), passwords[1], argv, store=store)
            if outcome.status:
                raise restic.failure("copy", outcome)
    if arguments.json:
        say(json.dumps({"repository": old.name, "into": new.name, "snapshots": [one.id for one in wanted], "dry_run": arguments.dry_run}))
        return ExitCode.COMMITTED
    did = "would copy" if arguments.dry_run else "copied"
    for one in wanted:
        say(f"{did} {one.id[:8]} of {to_text(one.time)[:16]}, {escape(one.host)}: {escape(', '.join(one.paths))}")
    if not arguments.dry_run:
        say(f"{new.name} holds them, under a master key that whoever had {old.name}'s does not know")
        say(f"Next: maintainer run --once --repository {new.name}; and maintainer retire {old.name}, once its host uses {new.name}")
    return ExitCode.COMMITTED


def _location(repository: RepositorySection) -> str:
    place = repository.location
    return f"s3:{place.endpoint}/{place.bucket}/{place.prefix}".rstrip("/")


def _credentials(chosen: Settings) -> dict[str, str]:
    """Return how restic reaches S3 as we do: by [s3]'s profile, or by what the environment or the machine's role gives."""
    access = chosen.access()
    given = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    named = {
        "AWS_PROFILE": access.profile,
        "AWS_SHARED_CREDENTIALS_FILE": access.credentials_file,
        "AWS_DEFAULT_REGION": access.region,
    }
    return {**given, **{name: value for name, value in named.items() if value}}
