"""`maintainer doctor`: what the stores of a configuration can do, tried on them, and what follows where they can not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from maintainer import __version__
from maintainer.agent import preflight
from maintainer.agent.run import Run
from maintainer.cli import common, compute
from maintainer.cli.beholder import beholder
from maintainer.cli.commands import declare
from maintainer.cli.output import say
from maintainer.core.errors import ExitCode, MaintainerError
from maintainer.core.events import escape
from maintainer.edges.capabilities import Capability, Prober
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.plainhttp import ask_plainly, without_tls
from maintainer.edges.reach import Reach
from maintainer.edges.restic import OLDEST, is_new_enough
from maintainer.edges.s3 import S3
from maintainer.hosts.hostfiles import read_environment
from maintainer.settings.load import Settings
from maintainer.settings.models import RepositorySection


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    more = "It puts a few small objects below maintainer/probe/ of each repository, hides them, and tags them as what may expire."
    parser = declare(commands, "doctor", more)
    text = "a folder that maintainer enroll wrote: try with this host's own credentials that it can do what it must and no more"
    parser.add_argument("--host", type=Path, metavar="FOLDER", help=text)
    common.add_choice(parser)
    common.add_config(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it; exit 2 where a store is unfit, where that could not be told, or where something else would stop a run."""
    chosen = common.settings(arguments)
    wanted = chosen.chosen([arguments.host.name] if arguments.host else arguments.repository, arguments.group)
    is_well = True
    shown: list[dict[str, object]] = []
    for one in wanted:
        if not arguments.json:
            say(f"{one.name}  {one.location}")
        found: list[Capability] = []
        for capability in _found(chosen, one, arguments.host):
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


def _found(chosen: Settings, repository: RepositorySection, host: Path | None) -> Iterator[Capability]:
    """Yield what the repository's store can do, what its part of the state store can do, what else would stop a run, and a host's reach."""
    seen = beholder("doctor", chosen, repository)
    job = chosen.job("doctor", [repository])
    try:
        preflight.check(seen, job)
        s3 = S3(job.access, seen.job.place.endpoint)
        yield from Prober(s3, seen.job.place.bucket, seen.job.place.prefix, seen.store, seen.clock).probe()
        place = seen.job.place
        yield ask_plainly(job.access, place, without_tls(place.endpoint))
        yield from _machine(chosen, repository)
        yield from _droplet(chosen, repository)
        seen.state.probe()
        yield Capability("conditional put, in the state store", True, "a second put is refused", "", is_needed=True)
        yield _who_backs_up(seen)
        if host is not None or repository.host_profile:
            yield from _reach(chosen, repository, seen, host)
    except MaintainerError as error:
        for what, do in error.reasons():
            yield Capability("what stops a run", False, what, do, is_needed=True)
    finally:
        seen.close()


def _machine(chosen: Settings, repository: RepositorySection) -> Iterator[Capability]:
    """Yield whether the machine of the repository's group, where that stays, answers and has what a run needs."""
    group = next(one for one in chosen.groups if one.name == repository.group)
    if group.compute != "ssh" or group.machine is None:
        return
    recorder = Recorder("doctor", "controller", SystemClock(), lambda _: None)
    where = f"the machine at {group.machine.address}"
    try:
        told = compute.standing(chosen, group, recorder).about()
    except MaintainerError as error:
        for what, do in error.reasons():
            yield Capability(where, False, what, do, is_needed=True)
        return
    same = told["maintainer"] == __version__
    do = f"install {__version__} there: docs/machines.md"
    yield Capability(f"{where}: maintainer", same, told["maintainer"], do, is_needed=True)
    fit = is_new_enough(told["restic"])
    oldest = ".".join(map(str, OLDEST))
    do = f"install {oldest} or newer there, or name it: restic of [group.{group.name}.machine]"
    yield Capability(f"{where}: restic", fit, told["restic"] or f"no {group.machine.restic} that runs", do, is_needed=True)


def _droplet(chosen: Settings, repository: RepositorySection) -> Iterator[Capability]:
    """Yield whether the group's droplets could be launched: the account lets us in, the image is the pinned one, the keys are keys."""
    group = next(one for one in chosen.groups if one.name == repository.group)
    if group.compute != "digitalocean":
        return
    made = compute.droplets(chosen, group, Recorder("doctor", "controller", SystemClock(), lambda _: None))
    for what, ask, found in (
        ("DigitalOcean: the pinned image", lambda: made.api.check_image(made.shape), "in every region that is named"),
        ("DigitalOcean: the keys that droplets are given", made.fetch_keys, "can be read"),
    ):
        try:
            ask()
        except MaintainerError as error:
            for reason, do in error.reasons():
                yield Capability(what, False, reason, do, is_needed=True)
        else:
            yield Capability(what, True, found, "", is_needed=True)


def _who_backs_up(seen: Run) -> Capability:
    """Tell whether one host alone backs up here, by what the ledger saw and the configuration expects."""
    known = seen.state.ledger().fold
    hosts = sorted({host for host, _ in (*known.observed, *known.expected)} | {one.host for one in seen.job.expect})
    shared = "whoever takes one of them can poison the others' backups: give each a repository of its own (maintainer enroll)"
    told = ", ".join(escape(host) for host in hosts) or "none yet"
    return Capability("one host backs up here", len(hosts) < 2, told, shared, is_needed=False)  # noqa: PLR2004 - one, or several


def _reach(chosen: Settings, repository: RepositorySection, seen: Run, host: Path | None) -> Iterator[Capability]:
    """Yield what the host's own credentials, from its files or by its profile, let it do."""
    place, state = seen.job.place, chosen.state_place()
    others = {one.name: one.location for one in chosen.repositories if one.name != repository.name and one.location.bucket == place.bucket}
    with TemporaryDirectory() as folder:
        access = replace(chosen.access(), profile=repository.host_profile)
        if host is not None:
            written = read_environment(host / "offsite.env")
            if "AWS_ACCESS_KEY_ID" not in written:
                seen_as = (
                    "it comes by a gateway, whose role was tried by nobody here" if written else f"no credentials in {host}/offsite.env"
                )
                do = "the gateway's role is that of Terraform's module gateway: terraform plan says what was changed by hand"
                yield Capability("the host's own credentials", None, seen_as, do, is_needed=not written)
                return
            file = Path(folder) / "credentials"
            file.touch(mode=0o600)
            pair = (f"aws_{name} = {written[f'AWS_{name.upper()}']}" for name in ("access_key_id", "secret_access_key"))
            file.write_text("\n".join(["[host]", *pair, ""]), encoding="utf-8")
            access = replace(access, profile="host", credentials_file=str(file))
        yield from Reach(S3(access, place.endpoint), place, seen.store).try_all(state.below(repository.name), others)


def _print(capability: Capability) -> None:
    word = "UNFIT" if capability.is_unfit else {True: "yes", False: "no", None: "?"}[capability.holds]
    say(f"  {word:5}  {capability.name}: {capability.seen}")
    if not capability.holds and capability.otherwise:
        say(f"         → {capability.otherwise}")
