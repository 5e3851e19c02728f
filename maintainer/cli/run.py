"""`maintainer run`: maintain the repositories, now (`--once`, and exit with what came of it) or at the configured moments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from functools import cache, partial
from typing import TYPE_CHECKING

from maintainer.cli import bills, common, compute, service
from maintainer.cli.commands import declare
from maintainer.cli.output import events_shown
from maintainer.controller.once import Month, Once
from maintainer.core.errors import MaintainerError
from maintainer.core.moments import to_text
from maintainer.edges import restic
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder, diagnostics
from maintainer.edges.statestore import new_run_id
from maintainer.settings.load import Settings

if TYPE_CHECKING:
    from maintainer.edges.compute.ec2 import Ec2


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "run")
    parser.add_argument(
        "--once",
        action="store_true",
        help="now, then exit: for cron, systemd timers and EventBridge; without it, stay and run as [run] says",
    )
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""

    def now() -> int:
        return launch(arguments, plan_only=False)

    if arguments.once:
        return now()
    common.settings(arguments)  # what is wrong with it is told at once
    return service.stay(lambda: common.settings(arguments), now)


def launch(arguments: argparse.Namespace, *, plan_only: bool) -> int:
    """Launch an agent for each group of the chosen repositories, and print what it tells."""
    chosen = common.settings(arguments)
    repositories = chosen.chosen(arguments.repository, arguments.group)
    groups = {group.name: group for group in chosen.groups if group.name in {one.group for one in repositories}}
    if any(group.compute == "local" for group in groups.values()):
        restic.find(chosen.restic.path)
    clock = common.clock(chosen)
    run_id = new_run_id(to_text(clock.now()))
    with events_shown(as_json=arguments.json, clock=clock) as show:
        recorder = Recorder(run_id, "controller", clock, show)
        reach = cache(partial(compute.ec2, chosen, recorder))  # one for all groups: each would read EC2's model anew
        computes = {name: compute.of(chosen, group, reach, recorder) for name, group in groups.items()}
        kept = bills.of(chosen)
        _sweep(chosen, {group.compute for group in groups.values()}, reach, partial(bills.add, kept), recorder)
        jobs = {group: chosen.job(run_id, [one for one in repositories if one.group == group], plan_only=plan_only) for group in groups}
        month = None if kept is None else Month(chosen.run.month_budget, kept.spent(run_id))
        once = Once(computes, recorder, show, at_once=chosen.run.groups_at_once, month=month)
        code = once.run(jobs)
        bills.add(kept, run_id, once.usd)
        return code


def _sweep(
    chosen: Settings, used: Collection[str], reach: Callable[[], Ec2], add: Callable[[str, float | None], None], recorder: Recorder
) -> None:
    """End what a dead controller left behind, and keep its bill: this run settles its work. That looking fails is no reason not to run."""
    if not {"ec2", "digitalocean"} & set(used):
        return
    from maintainer.controller import sweep  # noqa: PLC0415 - with EC2, a third of a second that no local run need wait

    owner, clock = compute.owner(chosen), SystemClock()
    try:
        if "ec2" in used:
            sweep.end(sweep.find(reach(), owner, clock, kinds=sweep.AT_ONCE).orphans, recorder, add)
        if "digitalocean" in used:
            found = sweep.find_droplets(compute.digitalocean(chosen, recorder), owner, clock)
            sweep.end(found.orphans, recorder, add)
            for kind, why in found.unseen:
                diagnostics().warning("what may be left behind could not be looked for", kind=kind, reason=why)
    except MaintainerError as error:
        diagnostics().warning("instances left behind could not be looked for", reason=str(error))
