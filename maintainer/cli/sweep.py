"""`maintainer sweep`: end what was left behind in EC2, at DigitalOcean and on machines that stay, that no controller follows any more."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from maintainer.cli import bills, common, compute
from maintainer.cli.commands import declare
from maintainer.cli.output import event_printer, say
from maintainer.core.errors import ExitCode, first
from maintainer.core.moments import to_text
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder, diagnostics
from maintainer.edges.statestore import new_run_id
from maintainer.report.lines import cost_of

if TYPE_CHECKING:
    from maintainer.controller.sweep import Found, Orphan
    from maintainer.settings.load import Settings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "sweep")
    parser.add_argument("--dry-run", action="store_true", help="only say what")
    text = "all that is this configuration's, also what another machine's controller may still follow"
    parser.add_argument("--all", action="store_true", help=text)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it, on every machine that stays, in the account of DigitalOcean and in every region of EC2."""
    from maintainer.controller import sweep  # noqa: PLC0415 - with EC2, a third of a second that no other command need wait

    chosen = common.settings(arguments)
    recorder = Recorder(new_run_id(to_text(SystemClock().now())), "controller", SystemClock(), event_printer(as_json=arguments.json))
    kept = None if arguments.dry_run else bills.of(chosen)
    told: list[dict[str, Any]] = []
    unseen: list[tuple[str, str, str]] = []
    codes: list[ExitCode] = []
    for where, found in _search(chosen, recorder, everything=arguments.all):
        told += [_told(one) for one in found.orphans]
        unseen += [(where, kind, why) for kind, why in found.unseen]
        codes += [] if arguments.dry_run else [sweep.end(found.orphans, recorder, partial(bills.add, kept))]
    if arguments.dry_run and arguments.json:
        say(json.dumps(told, indent=2))
    elif arguments.dry_run:
        for one in told:
            say(f"{one['id']} of run {one['run']} ({one['group']}), a {one['kind']} in {one['region']}{cost_of(one['usd'])}: {one['why']}")
    if not told and not arguments.json:
        say("nothing was left behind")
    for where, kind, why in unseen:
        diagnostics().warning("some of what may be left could not be looked for", kind=kind, region=where, reason=why)
    return first(codes)


def _search(chosen: Settings, recorder: Recorder, *, everything: bool) -> Iterator[tuple[str, Found]]:
    """Yield what was found on each machine that stays, at DigitalOcean, and in each region of EC2 where a group uses it."""
    from maintainer.controller import sweep  # noqa: PLC0415 - as above

    clock = SystemClock()
    for group in chosen.groups:
        if group.compute == "ssh":
            machine = compute.standing(chosen, group, recorder)
            yield machine.machine.address, sweep.find_runs(machine, clock, everything=everything)
    if chosen.digitalocean is not None:
        yield (
            "DigitalOcean",
            sweep.find_droplets(compute.digitalocean(chosen, recorder), compute.owner(chosen), clock, everything=everything),
        )
    is_elsewhere = all(group.compute in {"ssh", "digitalocean", "local"} and group.gateway is None for group in chosen.groups)
    if is_elsewhere and not (chosen.ec2.region and any(group.compute == "local" for group in chosen.groups)):
        return
    for region in dict.fromkeys((chosen.ec2.region, *chosen.ec2.swept_regions)):
        ec2 = compute.ec2(chosen, recorder, region)
        yield ec2.region, sweep.find(ec2, compute.owner(chosen), clock, everything=everything)


def _told(one: Orphan) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "region": one.region,
        "run": one.marks.run_id,
        "group": one.marks.group,
        "deadline": one.marks.deadline,
        "made": to_text(one.made) if one.made else None,
        "usd": one.usd,
        "why": one.why,
    }
