"""`maintainer retire HOST`: end a host's credentials, and say until when its repository is kept."""

from __future__ import annotations

import argparse
import json
from datetime import date

from maintainer.cli import common, ways
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ArgumentError, ExitCode, Problem
from maintainer.core.job import FOR_EVER
from maintainer.settings import editing
from maintainer.settings.values import Mistake, parse_until


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    more = "Its repository is healed and checked as before. Run again with another --until, it changes the date."
    parser = declare(commands, "retire", more)
    parser.add_argument("host", metavar="HOST", help="the host's name")
    default = f"what the configuration says already, or {FOR_EVER}"
    parser.add_argument("--until", metavar="DATE", help=f"how long its repository is kept (default: {default})")
    ways.add_choice(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """End a host's credentials."""
    chosen = common.settings(arguments)
    name = common.host_name(arguments.host)
    known = next((one for one in chosen.repositories if one.name == name), None)
    if known is None and arguments.until is None:
        common.only(chosen, name)  # a slip of the finger must not look like a host that is locked out
    until = (known.keep_until if known and arguments.until is None else "") or _until(arguments.until, common.clock(chosen).now().date())
    group, section = ways.section(chosen, arguments.group)
    place = ways.place(chosen, group, section, name)
    was = ways.way(chosen, group, section, common.writing(chosen, arguments.profile), name).close()
    value = json.dumps(until) if until == FOR_EVER else until
    is_told = known is not None and editing.set_in_repository(chosen.path, name, "keep_until", value)
    if arguments.json:
        told = {"host": name, "ended": was, "repository": str(place), "keep_until": until, "configured": is_told}
        say(json.dumps(told, indent=2))
        return ExitCode.COMMITTED
    say(f"{name} has no way to its repository any more" if was else f"{name} had no way to its repository")
    say(f"{place} is kept {'for ever' if until == FOR_EVER else f'until {until}; the first run after it says so'}")
    if not is_told:
        say(f"{chosen.path} could not be changed: let the repository's table say keep_until = {value}")
    return ExitCode.COMMITTED


def _until(text: str | None, today: date) -> str:
    try:
        until = FOR_EVER if text is None else parse_until(text)
    except Mistake as mistake:
        raise ArgumentError((Problem("--until", mistake.found, mistake.expected, mistake.do),)) from None
    if until != FOR_EVER and date.fromisoformat(until) < today:
        raise ArgumentError((Problem("--until", f"{until}, which is over", "a day to come", "name the last day that it is needed"),))
    return until
