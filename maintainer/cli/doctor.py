"""`maintainer doctor`: what the stores of a configuration can do, tried on them, and what follows where they can not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

from maintainer.agent import preflight
from maintainer.cli import common
from maintainer.cli.beholder import beholder
from maintainer.cli.output import say
from maintainer.core.errors import ExitCode, MaintainerError
from maintainer.edges.capabilities import Capability, Prober
from maintainer.edges.s3 import S3
from maintainer.settings.load import Settings
from maintainer.settings.models import RepositorySection


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "doctor",
        help="try what the stores can do, and say what follows where they can not",
        description="Puts a few small objects below maintainer/probe/ of each repository, hides them, and tags them as what may expire.",
    )
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; exit 2 where a store is unfit, where that could not be told, or where something else would stop a run."""
    chosen = common.settings(arguments)
    is_well = True
    shown: list[dict[str, object]] = []
    for one in chosen.chosen(arguments.repository, arguments.group):
        if not arguments.json:
            say(f"{one.name}  {one.location}")
        found: list[Capability] = []
        for capability in _found(chosen, one):
            found.append(capability)
            if not arguments.json:
                _print(capability)
        shown.append({"repository": one.name, "location": str(one.location), "capabilities": [asdict(each) for each in found]})
        doubtful = [each.name for each in found if each.is_needed and not each.holds]
        if not arguments.json:
            say(f"  not fit, or not proved to be: {', '.join(doubtful)}" if doubtful else "  fit for maintainer")
        is_well &= not doubtful
    if arguments.json:
        say(json.dumps(shown, indent=2))
    return ExitCode.COMMITTED if is_well else ExitCode.USAGE


def _found(chosen: Settings, repository: RepositorySection) -> Iterator[Capability]:
    """Yield what the repository's store can do, what its part of the state store can do, and what else would stop a run."""
    seen = beholder("doctor", chosen, repository)
    job = chosen.job("doctor", [repository])
    try:
        preflight.check(seen, job)
        s3 = S3(job.access, seen.job.place.endpoint)
        yield from Prober(s3, seen.job.place.bucket, seen.job.place.prefix, seen.store, seen.clock).probe()
        seen.state.probe()
        yield Capability("conditional put, in the state store", True, "a second put is refused", "", is_needed=True)
    except MaintainerError as error:
        for what, do in error.reasons():
            yield Capability("what stops a run", False, what, do, is_needed=True)
    finally:
        seen.close()


def _print(capability: Capability) -> None:
    word = "UNFIT" if capability.is_unfit else {True: "yes", False: "no", None: "?"}[capability.holds]
    say(f"  {word:5}  {capability.name}: {capability.seen}")
    if not capability.holds and capability.otherwise:
        say(f"         → {capability.otherwise}")
