"""`maintainer gateway recycle | status | certify | admit | dismiss`: the append-only server before a group's bucket, and who may come."""

from __future__ import annotations

import argparse
import json
import secrets as randomness
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import bcrypt

from maintainer.cli import common, compute
from maintainer.cli.output import event_printer, say
from maintainer.controller import gateway as controller
from maintainer.core.errors import ConfigurationError, ExitCode, MaintainerError, Problem, first
from maintainer.core.gateway import USER, GatewayJob
from maintainer.core.job import Access
from maintainer.core.moments import to_text
from maintainer.edges import secrets
from maintainer.edges.certificate import self_signed
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.statestore import new_run_id
from maintainer.settings.load import Settings
from maintainer.settings.models import GatewaySection

COST = 5
"""bcrypt's: a password is random and long, and is verified with each of restic's requests."""
TEXTS = {
    "recycle": "put a new instance from the pinned image in the place of the one that serves: once a day, by cron or EventBridge",
    "status": "whether it answers, since when it runs, from which image",
    "certify": "make a certificate for its address, and put it with its private key where the gateway reads it",
    "admit": "let a host come, and print what its restic needs; a host that may come already gets a new password",
    "dismiss": "let a host come no more; its repository stays",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("gateway", help="the append-only server for hosts that hold no key of the bucket")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, text in TEXTS.items():
        one = actions.add_parser(action, help=text, description=text)
        if action in {"admit", "dismiss"}:
            one.add_argument("host", metavar="HOST", help="a host's name: also its user, and its folder below the gateway's location")
        one.add_argument("--group", metavar="NAME", help="whose gateway, where there are several")
        if action in {"certify", "admit", "dismiss"}:
            one.add_argument("--profile", metavar="NAME", help="the AWS profile that may write parameters (default: what [s3] says)")
        if action == "recycle":
            one.add_argument("--within", type=int, default=300, metavar="SECONDS", help="how long the new one may boot (default: 300)")
        if action == "certify":
            one.add_argument("--days", type=int, default=825, help="how long it holds (default: 825)")
        common.add_config(one)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    chosen = common.settings(arguments)
    gateways = [of(chosen, name, section) for name, section in _sections(chosen, arguments.group).items()]
    match arguments.action:
        case "recycle":
            return first([_recycle(arguments, chosen, one) for one in gateways])
        case "status":
            return first([_status(arguments, chosen, one) for one in gateways])
    if len(gateways) != 1:
        names = ", ".join(one.group for one in gateways)
        raise ConfigurationError((Problem("--group", "none named", f"one of {names}", "say whose gateway"),))
    (only,) = gateways
    access = _writing(chosen, arguments.profile)
    match arguments.action:
        case "certify":
            _certify(only, access, arguments.days)
        case "admit":
            _admit(only, access, _host(arguments.host), as_json=arguments.json)
        case _:
            secrets.delete(f"{only.job.users}/{_host(arguments.host)}", access)
            say(f"{arguments.host} comes no more, {only.job.look_every_s:.0f} s from now at the latest; its repository stays")
    return ExitCode.COMMITTED


def of(chosen: Settings, group: str, section: GatewaySection) -> controller.Gateway:
    """Return a group's gateway as its section says."""
    place = replace(section.location, endpoint=section.location.endpoint or chosen.s3.endpoint)
    below = f"ssm:/maintainer/gateway/{group}"
    access = replace(chosen.access(), profile="", credentials_file="")  # an instance has its role
    job = GatewayJob(group, access, place, section.port, section.tls or f"{below}/tls", section.users or f"{below}/users")
    trusted = chosen.path.parent / Path(section.certificate).expanduser() if section.certificate else None
    shape = replace(compute.shape(section), public=True)
    return controller.Gateway(compute.owner(chosen), group, shape, section.elastic_ip, section.address, trusted, job)


def _sections(chosen: Settings, group: str | None) -> dict[str, GatewaySection]:
    found = {one.name: one.gateway for one in chosen.groups if one.gateway is not None and group in (None, one.name)}
    if not found:
        missing = f"no [group.{group or 'NAME'}.gateway]"
        raise ConfigurationError((Problem(str(chosen.path), missing, "a gateway", "add one: the README shows it"),))
    return found


def _recycle(arguments: argparse.Namespace, chosen: Settings, gateway: controller.Gateway) -> ExitCode:
    clock = SystemClock()
    run_id = new_run_id(to_text(clock.now()))
    recorder = Recorder(run_id, "controller", clock, event_printer(as_json=arguments.json))
    try:
        controller.recycle(gateway, run_id, compute.ec2(chosen, recorder), clock, recorder, within_s=arguments.within)
    except MaintainerError as error:
        for reason, guidance in error.reasons():
            recorder.record("run.failed", group=gateway.group, reason=reason, guidance=guidance, exit_code=error.exit_code)
        return error.exit_code
    return ExitCode.COMMITTED


def _status(arguments: argparse.Namespace, chosen: Settings, gateway: controller.Gateway) -> ExitCode:
    clock = SystemClock()
    found = controller.look(gateway, compute.ec2(chosen, Recorder(new_run_id(to_text(clock.now())), "controller", clock, lambda _: None)))
    serving = found.serving
    age = clock.now() - serving.launched if serving else None
    pinned = gateway.shape.image
    others = [one.id for one in found.instances if one is not serving]
    told = {
        "group": gateway.group,
        "address": gateway.name,
        "answers": not found.answer.why,
        "why": found.answer.why,
        "certificate_until": to_text(found.answer.until) if found.answer.until else None,
        "instance": serving.id if serving else None,
        "launched": to_text(serving.launched) if serving else None,
        "image": serving.image if serving else None,
        "pinned": bool(serving and serving.image == pinned),
        "others": others,
    }
    if arguments.json:
        say(json.dumps(told, indent=2))
    else:
        say(f"gateway of {gateway.group} at {gateway.name}:{gateway.job.port}: {found.answer.why or 'answers'}")
        if serving and age is not None:
            hours = age.total_seconds() / 3600
            say(f"  {serving.id} ({serving.instance_type}) serves, launched {hours:.0f} h ago from {serving.image}")
            if not told["pinned"]:
                say(f"  its image is not the pinned one, {pinned}: maintainer gateway recycle")
        if found.answer.until:
            say(f"  its certificate holds until {to_text(found.answer.until)}")
        for other in others:
            say(f"  {other} is one too many: the next recycle ends it")
    return ExitCode.NOT_COMMITTED if found.answer.why else ExitCode.COMMITTED


def _writing(chosen: Settings, profile: str | None) -> Access:
    """Return how parameters are written: by a person, whose rights are not those of a run."""
    return replace(chosen.access(), profile=profile) if profile else chosen.access()


def _host(name: str) -> str:
    if not USER.fullmatch(name):
        expected = "1 to 64 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first and last"
        raise ConfigurationError((Problem("HOST", repr(name), expected, "give the host such a name here; its own need not change"),))
    return name


def _certify(gateway: controller.Gateway, access: Access, days: int) -> None:
    if gateway.trusted is None:
        do = 'add certificate = "gateway.pem": the file is for the hosts, and for maintainer'
        problem = Problem(f"[group.{gateway.group}.gateway] certificate", "none", "a file to write the certificate to", do)
        raise ConfigurationError((problem,))
    key, certificate = self_signed(gateway.name, SystemClock().now(), days)
    secrets.write(gateway.job.tls, key + certificate, access)
    gateway.trusted.write_text(certificate, encoding="ascii")
    say(f"{gateway.job.tls} holds a new private key and its certificate for {gateway.name}, good for {days} days")
    say(f"{gateway.trusted} holds the certificate: give it to the hosts, too (RESTIC_CACERT)")


def _admit(gateway: controller.Gateway, access: Access, host: str, *, as_json: bool) -> None:
    password = randomness.token_urlsafe(32)
    secrets.write(f"{gateway.job.users}/{host}", bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode(), access)
    repository = f"rest:https://{host}:{quote(password)}@{gateway.name}:{gateway.job.port}/{host}/"
    if as_json:
        say(json.dumps({"host": host, "repository": repository, "certificate": str(gateway.trusted or "")}, indent=2))
        return
    say(f"RESTIC_REPOSITORY={repository}")
    if gateway.trusted:
        say(f"RESTIC_CACERT=/etc/restic/{gateway.trusted.name}   # a copy of {gateway.trusted}")
