"""`maintainer gateway recycle | status | certify | admit | dismiss`: the append-only server before a group's bucket, and who may come."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from maintainer.cli import common, compute
from maintainer.cli.commands import declare
from maintainer.cli.output import event_printer, say
from maintainer.controller import gateway as controller
from maintainer.core.errors import ArgumentError, ConfigurationError, ExitCode, MaintainerError, Problem, first
from maintainer.core.gateway import GatewayJob
from maintainer.core.job import Access
from maintainer.core.moments import to_text
from maintainer.edges import secrets
from maintainer.edges.certificate import PEM, Authority
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.statestore import new_run_id
from maintainer.hosts.ways import ByGateway
from maintainer.settings.load import Settings
from maintainer.settings.models import GatewaySection

OLD_H = 48
"""Then a gateway has missed a day's recycling, and should not have."""
RENEW_DAYS = 60
"""Before its certificate ends."""
TEXTS = {
    "recycle": "put a new instance from the pinned image in the place of the one that serves: once a day, by cron or EventBridge",
    "status": "whether it answers, since when it runs, from which image",
    "certify": "make a certificate for its address, or renew it: hosts trust the authority above it, which stays",
    "admit": "let a host come, and print what its restic needs; a host that may come already gets a new password",
    "dismiss": "let a host come no more; its repository stays",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = declare(commands, "gateway")
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
            one.add_argument(
                "--replace",
                action="store_true",
                help="with a new authority: hosts are shut out until they are given it",
            )
            one.add_argument("--days", type=int, default=825, help="how long it holds (default: 825)")
        common.add_config(one)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    chosen = common.settings(arguments)
    sections = _sections(chosen, arguments.group)
    if arguments.action in {"recycle", "status"}:
        act = _recycle if arguments.action == "recycle" else _status
        return first([act(arguments, chosen, of(chosen, name, section)) for name, section in sections.items()])
    if len(sections) != 1:
        raise ArgumentError((Problem("--group", "none named", f"one of {', '.join(sections)}", "say whose gateway"),))
    ((group, section),) = sections.items()
    job, access = _job(chosen, group, section), common.writing(chosen, arguments.profile)
    match arguments.action:
        case "certify":
            _certify(chosen, section, job, access, arguments)
        case "admit":
            _admit(way(chosen, group, section, access, common.host_name(arguments.host)), as_json=arguments.json)
        case _:
            was = way(chosen, group, section, access, common.host_name(arguments.host)).close()
            told = f"comes no more, {job.look_every_s:.0f} s from now at the latest" if was else "was no host of it"
            say(f"{arguments.host} {told}; its repository stays")
    return ExitCode.COMMITTED


def of(chosen: Settings, group: str, section: GatewaySection) -> controller.Gateway:
    """Return a group's gateway as its section says."""
    shape = replace(compute.shape(section), public=True)
    job = _job(chosen, group, section)
    return controller.Gateway(compute.owner(chosen), group, shape, section.elastic_ip, section.address, _trusted(chosen, section), job)


def _job(chosen: Settings, group: str, section: GatewaySection) -> GatewayJob:
    place = replace(section.location, endpoint=section.location.endpoint or chosen.s3.endpoint)
    below = f"ssm:/maintainer/gateway/{group}"
    access = replace(chosen.access(), profile="", credentials_file="")  # an instance has its role
    return GatewayJob(group, access, place, section.port, section.tls or f"{below}/tls", section.users or f"{below}/users")


def _trusted(chosen: Settings, section: GatewaySection) -> str:
    """Return the certificates that the configuration names, or holds: that of a container has no file beside it."""
    if not section.certificate or section.certificate.startswith(PEM):
        return section.certificate
    path = _file(chosen, section)
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        do = "write it with maintainer gateway certify, or name what signs the gateway's certificate"
        problem = Problem("[group.NAME.gateway] certificate", f"{path} can not be read ({type(error).__name__})", "certificates in PEM", do)
        raise ConfigurationError((problem,)) from error


def _file(chosen: Settings, section: GatewaySection) -> Path:
    return chosen.path.parent / Path(section.certificate).expanduser()


def _sections(chosen: Settings, group: str | None) -> dict[str, GatewaySection]:
    found = {one.name: one.gateway for one in chosen.groups if one.gateway is not None and group in (None, one.name)}
    if not found:
        missing = f"no [group.{group or 'NAME'}.gateway]"
        raise ConfigurationError((Problem(str(chosen.path), missing, "a gateway", "add one: docs/hosts.md shows it"),))
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
    told = standing(chosen, gateway)
    if arguments.json:
        say(json.dumps(told, indent=2))
    else:
        for line in lines(told):
            say(line)
    return ExitCode.COMMITTED if told["answers"] else ExitCode.NOT_COMMITTED


def standing(chosen: Settings, gateway: controller.Gateway) -> dict[str, Any]:
    """Tell how a gateway is: whether it answers, since when, from which image. Raises what EC2 refuses."""
    clock = SystemClock()
    found = controller.look(gateway, compute.ec2(chosen, Recorder(new_run_id(to_text(clock.now())), "controller", clock, lambda _: None)))
    serving = found.serving
    digest = next((one.digest for one in gateway.shape.images if serving and one.image == serving.image), None)
    return {
        "group": gateway.group,
        "address": f"{gateway.name}:{gateway.job.port}",
        "answers": not found.answer.why,
        "why": found.answer.why,
        "certificate_until": to_text(found.answer.until) if found.answer.until else None,
        "certificate_days": (found.answer.until - clock.now()).days if found.answer.until else None,
        "instance": serving.id if serving else None,
        "type": serving.instance_type if serving else None,
        "launched": to_text(serving.launched) if serving else None,
        "age_h": round((clock.now() - serving.launched).total_seconds() / 3600, 1) if serving else None,
        "image": serving.image if serving else None,
        "image_digest": digest,
        "pinned": digest is not None,
        "others": [one.id for one in found.instances if one is not serving],
    }


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield what `standing` tells, for people."""
    yield f"gateway of {told['group']} at {told['address']}: {told['why'] or 'answers'}"
    if told["why"]:
        yield "    → maintainer gateway recycle puts a new one in its place; until then its hosts' backups fail"
    if told["instance"]:
        made_of = f"the pinned image, {told['image_digest'][:12]}" if told["pinned"] else f"{told['image']}, which is not the pinned image"
        yield f"  {told['instance']} ({told['type']}) serves, for {told['age_h']:.0f} h, from {made_of}"
        if not told["pinned"] or told["age_h"] > OLD_H:
            yield f"    → maintainer gateway recycle: it should be recycled daily, and runs for {told['age_h']:.0f} h"
    if told["certificate_until"]:
        yield f"  its certificate holds until {told['certificate_until'][:10]}"
        if told["certificate_days"] < RENEW_DAYS:
            yield "    → maintainer gateway certify renews it, and no host need know"
    for other in told["others"]:
        yield f"  {other} is one too many: the next recycle ends it"


def _certify(chosen: Settings, section: GatewaySection, job: GatewayJob, access: Access, wanted: argparse.Namespace) -> None:
    if not section.certificate or section.certificate.startswith(PEM):
        found = "a certificate in the configuration itself" if section.certificate else "none"
        do = 'certificate = "gateway.pem": the file is for the hosts, and for maintainer; where there is none beside it, its text'
        problem = Problem(f"[group.{job.name}.gateway] certificate", found, "a file to write the certificate to", do)
        raise ConfigurationError((problem,))
    file, source = _file(chosen, section), section.authority or f"ssm:/maintainer-authority/{job.name}"
    clock = SystemClock()
    trusted = file.read_text(encoding="ascii") if file.exists() else ""
    kept = secrets.read(source, access) if secrets.is_there(source, access) else ""
    authority = None
    with suppress(ValueError):
        authority = Authority.parse(kept)
    is_same = authority is not None and authority.is_for(section.address) and trusted.strip() in {"", authority.certificate.strip()}
    if authority is None or not is_same or wanted.replace:
        if (trusted or kept) and not wanted.replace:
            what = f"not the certificate in {source}, or that is for another address than {section.address}"
            do = "give them the new one right after it: maintainer gateway certify --replace"
            problem = Problem(str(file), what, "one authority: hosts that trust another are shut out until they have the new one", do)
            raise ConfigurationError((problem,))
        authority = Authority.made(section.address, clock.now())
        secrets.write(source, authority.pem(), access)
        say(f"{source} holds a new authority for {section.address}: what hosts trust, whenever the gateway's own certificate is renewed")
    if trusted.strip() != authority.certificate.strip():
        file.write_text(authority.certificate, encoding="ascii")
        say(f"{file} holds its certificate: give it to the hosts, too (RESTIC_CACERT)")
    secrets.write(job.tls, authority.sign(section.address, clock.now(), wanted.days), access)
    say(f"{job.tls} holds a new private key and its certificate for {section.address}, good for {wanted.days} days")
    say("Renew it by the same command: hosts trust what signed it")


def way(chosen: Settings, group: str, section: GatewaySection, access: Access, host: str) -> ByGateway:
    """Return a host's way by a gateway. `access` may write parameters."""
    job = _job(chosen, group, section)
    return ByGateway(host, job.users, access, section.address, section.port, _trusted(chosen, section))


def _admit(found: ByGateway, *, as_json: bool) -> None:
    made = found.open({})
    if as_json:
        say(json.dumps({"host": found.user, "environment": made, "certificate": found.certificate}, indent=2))
        return
    for name, value in made.items():
        say(f"{name}={value}")
