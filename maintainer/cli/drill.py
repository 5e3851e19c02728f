"""`maintainer drill attack`: rehearse what an attacker could do, in a sandbox, under your own policy; nothing of yours is touched."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from maintainer.cli import common
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ArgumentError, ExitCode, Problem
from maintainer.drill.catalogue import CATALOGUE
from maintainer.drill.rehearsal import Outcome, Rehearsal
from maintainer.edges import restic
from maintainer.edges.clock import SystemClock
from maintainer.sandbox import daemon


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "drill")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    attack = actions.add_parser("attack", help="what an attacker with a host's keys can do: noticed by what, healed, in what time")
    attack.add_argument("repository", metavar="REPOSITORY", help="whose policy and limits hold in the rehearsal; it is not touched")
    attack.add_argument(
        "--only", metavar="N", type=int, action="append", default=[], help="only this number of the catalogue; may be repeated"
    )
    common.add_config(attack)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rehearse; exit 0 when every attack was noticed and healed, 4 when one was not."""
    chosen = common.settings(arguments)
    repository = common.only(chosen, arguments.repository)
    (like,) = chosen.job("drill", [repository]).repositories
    attacks = [attack for attack in CATALOGUE if not arguments.only or attack.number in arguments.only]
    if not attacks:
        known = ", ".join(map(str, sorted({attack.number for attack in CATALOGUE})))
        raise ArgumentError((Problem("--only", str(arguments.only[0]), f"one of {known}", "see docs/attacks.md"),))
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="maintainer-drill-") as made:
        directory, clock = Path(made), SystemClock()
        sandbox = daemon.start(directory / "sandbox", clock, daemon.Wanted(machines=False))
        try:
            rehearsal = Rehearsal(sandbox, directory, like, restic.find(chosen.restic.path).binary, clock)
            rehearsal.prepare()
            if not arguments.json:
                say(f"   # {'attack':<46} {'noticed by':<46} {'healed':<7} time")
            for outcome in rehearsal.rehearse(attacks):
                outcomes.append(outcome)
                if not arguments.json:
                    _print(outcome)
        finally:
            daemon.stop(directory / "sandbox", clock)
    passed = sum(outcome.passed for outcome in outcomes)
    if arguments.json:
        say(json.dumps([_described(outcome) for outcome in outcomes], indent=2))
    else:
        say(f"{passed} of {len(outcomes)} attacks were noticed and healed; {repository.name} itself was not touched")
    return ExitCode.COMMITTED if passed == len(outcomes) else ExitCode.NOT_COMMITTED


def _print(outcome: Outcome) -> None:
    attack = outcome.attack
    noticed = ", ".join(outcome.noticed) or ("nothing to notice" if not attack.noticed else "NOTHING")
    healed = "yes" if outcome.healed else "NO"
    say(f"{attack.number:>4} {attack.name:<46} {noticed:<46} {healed:<7} {outcome.seconds:.1f} s")
    if outcome.reason:
        say(f"       {outcome.reason}")


def _described(outcome: Outcome) -> dict[str, object]:
    return {
        "number": outcome.attack.number,
        "attack": outcome.attack.name,
        "noticed_by": list(outcome.noticed),
        "healed": outcome.healed,
        "passed": outcome.passed,
        "seconds": round(outcome.seconds, 2),
        "reason": outcome.reason,
    }
