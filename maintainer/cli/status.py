"""`maintainer status`: where each repository stands, from the ledger alone, and whether its group's gateway answers."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from maintainer.cli import common
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.amounts import counted, size
from maintainer.core.errors import ExitCode, MaintainerError, first
from maintainer.core.events import escape
from maintainer.core.findings import WHAT_TO_DO, Standing
from maintainer.core.job import FOR_EVER
from maintainer.core.ledger import Fold
from maintainer.core.moments import from_text, to_text
from maintainer.core.pending import decision
from maintainer.core.records import ADOPTED, State
from maintainer.settings.load import Settings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "status")
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; exit 3 while a person has anything to decide."""
    chosen = common.settings(arguments)
    shown: list[dict[str, Any]] = []
    failed: list[ExitCode] = []
    wanted = chosen.chosen(arguments.repository, arguments.group)
    gateways = _gateways(chosen, {one.group for one in wanted})
    for one in wanted:
        try:
            gateway = {"gateway": gateways[one.group]} if one.group in gateways else {}
            known = common.state(chosen, one).ledger().fold
            shown.append({**_summary(one.name, known, one.grace), "keep_until": one.keep_until or None, **gateway})
        except MaintainerError as error:
            why, do = error.reasons()[0]
            shown.append({"repository": one.name, "error": why, "do": do, "findings": []})
            failed.append(error.exit_code)
    if arguments.json:
        say(json.dumps(shown, indent=2))
    else:
        for summary in shown:
            _print(summary)
        for told in gateways.values():
            _print_gateway(told)
    news = any(not finding["decided"] for summary in shown for finding in summary["findings"]) or not all(
        told["answers"] for told in gateways.values()
    )
    news |= any(summary.get("last_commit", "") is None for summary in shown)  # whoever watches this must learn that the record is empty
    return first(failed) if failed else ExitCode.ATTENTION if news else ExitCode.COMMITTED


def _gateways(chosen: Settings, groups: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return how the gateways of these groups are, by group; one that can not be looked at does not answer."""
    found: dict[str, dict[str, Any]] = {}
    for group in chosen.groups:
        if group.name in groups and group.gateway is not None:
            from maintainer.cli import gateway  # noqa: PLC0415 - EC2 takes a third of a second, which no other status need wait

            try:
                found[group.name] = gateway.standing(chosen, gateway.of(chosen, group.name, group.gateway))
            except MaintainerError as error:
                why, do = error.reasons()[0]
                found[group.name] = {"group": group.name, "answers": False, "why": why, "do": do}
    return found


def _print_gateway(told: Mapping[str, Any]) -> None:
    from maintainer.cli import gateway  # noqa: PLC0415 - as above

    if "do" in told:
        say(f"gateway of {told['group']}: {escape(told['why'])}\n    → {told['do']}")
        return
    for line in gateway.lines(told):
        say(line)


def _summary(name: str, known: Fold, grace: timedelta) -> dict[str, Any]:
    live = [
        r for r in known.findings.values() if r.standing in (Standing.NEW, Standing.OPEN) and r.finding.identity not in known.acknowledged
    ]
    return {
        "repository": name,
        "last_commit": known.last_commit or None,
        "entries": known.head[0],
        "readings": [asdict(one) for one in known.readings],
        "accepted": known.accepted,
        "snapshots": sum(1 for _ in known.records.select("snapshots/", State.ADMITTED)),
        "incomplete": sorted(known.having(State.INCOMPLETE)),
        "doomed": sorted(known.having(State.DOOMED)),
        "to_delete": _to_delete(known, grace),
        "evicted": {key: record.reason for key, record in known.having(State.EVICTED).items()},
        "pending": [asdict(one) for one in known.pending],
        "findings": [
            {
                "finding": r.finding.identity,
                "detail": r.finding.detail,
                "since": r.since,
                "standing": r.standing.value,
                "do": WHAT_TO_DO[r.finding.kind].replace("REPOSITORY", name),
                "decided": asdict(decided) if (decided := decision(r.finding, known.pending)) else None,
            }
            for r in live
        ],
    }


def _to_delete(known: Fold, grace: timedelta) -> list[dict[str, str]]:
    """Return the packs that are doomed and that the last run has not marked yet, each with the moment from which a run may."""
    last = from_text(known.last_commit) if known.last_commit else None
    if any(record.reason == ADOPTED for _, record in known.records.select("snapshots/", State.DOOMED)):
        return []  # nothing is deleted before a person has decided on what was hidden before first contact
    due = ((key, record.since + grace) for key, record in known.records.select("data/", State.DOOMED))
    return [{"pack": key, "on": to_text(on)} for key, on in sorted(due) if last is None or on > last]


def _print(summary: dict[str, Any]) -> None:
    if "error" in summary:
        say(f"{summary['repository']}: {escape(summary['error'])}\n    → {summary['do']}")
        return
    last = f"last commit {summary['last_commit'][:19]}" if summary["last_commit"] else "no run has committed yet: maintainer run --once"
    say(f"{summary['repository']}: {last}, {counted(summary['snapshots'], 'snapshot')}")
    if coming := summary["to_delete"]:
        days = sorted({one["on"][:10] for one in coming})
        when = f"on {days[0]}" if len(days) == 1 else f"from {days[0]} to {days[-1]}"
        say(f"  {counted(len(coming), 'pack')} that no snapshot needs: to delete {when}, unless a backup needs one again")
    if until := summary["keep_until"]:
        say(f"  its host is retired; kept {until if until == FOR_EVER else f'until {until}'}")
    whole, *since = summary["readings"] or (None,)
    if whole is not None:
        more = f"; since then {size(sum(one['bytes'] for one in since))} that came later, last on {since[-1]['at'][:16]}" if since else ""
        say(f"  {size(whole['bytes'])}, all that there was, were read on {whole['at'][:16]}{more}")
    for finding in summary["findings"]:
        decided = finding["decided"]
        do = (
            f"decided: {decided['action']}, by {decided['who']} on {decided['at'][:16]}; the next run heeds it"
            if decided
            else finding["do"]
        )
        mark = " " if decided else "!"
        named = escape(shlex.quote(finding["finding"]))  # as `ack` takes it back
        say(f"  {mark} {named} {escape(finding['detail'])} (since {finding['since'][:16]})\n    → {escape(do)}")
    if summary["pending"]:
        say(f"  {counted(len(summary['pending']), 'judgement')} since the last run: the next heeds them")
