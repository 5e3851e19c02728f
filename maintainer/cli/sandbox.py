"""`maintainer sandbox start | stop | status | clock`: the embedded endpoint on loopback."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ExitCode, SandboxError
from maintainer.edges.clock import SystemClock, read_offset
from maintainer.sandbox import daemon
from maintainer.sandbox.provision import HOST_ENVIRONMENT, keep_password

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "sandbox")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    helps = {
        "start": "start it in the background; prints how to use it",
        "stop": "end it, and remove all it holds",
        "status": "say whether it runs",
        "password": "keep a repository's password, read from standard input, where the sandbox's instances read it",
        "clock": "set how far its time is ahead of the real one, such as +20d",
    }
    for name, text in helps.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("--directory", type=Path, default=None, help="where it lives (default: below ~/.local/state)")
        action.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "start":
            alone = "S3 alone: no EC2, no image to build, nothing that needs namespaces"
            action.add_argument("--no-machines", dest="machines", action="store_false", help=alone)
            script = "machines whose PID 1 is a script; without this it is systemd, wherever a control group can be had"
            action.add_argument("--no-systemd", dest="systemd", action="store_false", help=script)
            own = "also what `maintainer image build --ec2` needs: Debian's own image, which is made the first time, and a subnet for it"
            action.add_argument("--builder", action="store_true", help=own)
            far = "hold every answer of the store back so long, as if it were as far away as yours"
            action.add_argument("--latency", dest="latency_ms", metavar="MS", type=_latency, default=0, help=far)
        if name == "password":
            action.add_argument("name", help="the repository's name")
        if name == "clock":
            action.add_argument("offset", help="from the real time: +SECONDS, or with a unit: +90m, +36h, +20d, +3w")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked."""
    directory: Path = (arguments.directory or daemon.default_directory()).absolute()
    clock = SystemClock()
    match arguments.action:
        case "start":
            wanted = daemon.Wanted(
                machines=arguments.machines, systemd=arguments.systemd, latency_ms=arguments.latency_ms, builder=arguments.builder
            )
            ran_before = daemon.running(directory) is not None
            sandbox = daemon.start(directory, clock, wanted)
            say(sandbox.encode() if arguments.json else _how_to_use(sandbox, ran_before=ran_before))
        case "stop":
            kept = daemon.keep_edited(directory, clock)
            was_running = daemon.stop(directory, clock)
            if arguments.json:
                say(json.dumps({"stopped": was_running, "configuration": str(kept) if kept else None}))
            else:
                say("stopped" if was_running else "no sandbox was running")
                if kept:
                    say(f"its configuration had been edited: kept as {kept}")
        case "status":
            return _status(directory, as_json=arguments.json)
        case "password":
            sandbox_now = daemon.running(directory)
            if sandbox_now is None:
                raise SandboxError("no sandbox is running", guidance="start one: maintainer sandbox start")
            source = keep_password(sandbox_now.endpoint, arguments.name, sys.stdin.readline().rstrip("\n"))
            say(json.dumps({"password": source}) if arguments.json else f'password = "{source}"')
        case _:
            seconds = parse_offset(arguments.offset)
            daemon.move_clock(directory, seconds)
            moment = SystemClock(directory / "clock").now().isoformat(timespec="seconds")
            printed = {"offset_s": seconds, "now": moment}
            say(json.dumps(printed) if arguments.json else f"the sandbox's time is now {moment}")
    return ExitCode.COMMITTED


def _latency(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of milliseconds from 0 to 9999")
    return int(text)


def parse_offset(text: str) -> float:
    """Read an offset such as `+20d`; SandboxError for anything else."""
    found = re.fullmatch(r"\+?(\d{1,9})([wdhms]?)", text)
    if found is None:
        raise SandboxError(f"no offset: {text!r}", guidance="give seconds, or a number with a unit: +90m, +36h, +20d, +3w")
    return float(int(found[1]) * _UNITS[found[2] or "s"])


def _status(directory: Path, *, as_json: bool) -> int:
    sandbox = daemon.running(directory)
    if sandbox is None:
        say(json.dumps({"running": False}) if as_json else "no sandbox is running")
        return ExitCode.FAULT
    offset = read_offset(directory / "clock")
    shown = {"running": True, "endpoint": sandbox.endpoint, "config": sandbox.config, "pid": sandbox.pid, "offset_s": offset}
    say(json.dumps(shown) if as_json else f"running at {sandbox.endpoint}, its time {offset:.0f} s ahead; configuration: {sandbox.config}")
    return ExitCode.COMMITTED


def _how_to_use(sandbox: daemon.Sandbox, *, ran_before: bool) -> str:
    return "\n".join(
        [
            f"the sandbox {'ran already, and ' * ran_before}runs at {sandbox.endpoint}, until: maintainer sandbox stop",
            f"  configuration   {sandbox.config}",
            f"  credentials     {Path(sandbox.directory) / 'credentials'} (profiles admin, host, maintenance)",
            f"  back up with    . {Path(sandbox.directory) / HOST_ENVIRONMENT} && restic init && restic backup /etc",
            "  then take the # from the configuration's [[repository]], and:",
            f"                  maintainer run --once --config {sandbox.config}",
        ]
    )
