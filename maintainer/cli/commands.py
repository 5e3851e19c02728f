"""Every command: the module that declares it, the sentence that says what it does, and an example.

`maintainer --help` needs nothing else, so that it imports none of the modules.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `module` is in this package; `example` are complete command lines."""

    module: str
    sentence: str
    example: str


COMMANDS: Mapping[str, Command] = {
    "run": Command("run", "revert, forget, prune, check and commit", "maintainer run --once --repository web"),
    "plan": Command("plan", "say what a run would heal, mark, evict and forget; change nothing", "maintainer plan --repository web"),
    "status": Command("status", "where each repository stands: last commit, snapshots, findings", "maintainer status --json"),
    "accept": Command(
        "judge",
        "confirm a repository's hosts and paths, a changed config, or a new key",
        "maintainer accept web          # the hosts and paths that the first run listed are mine\n"
        "maintainer accept web config   # I ran restic migrate\n"
        "maintainer accept web 3f1c9a   # I added this key",
    ),
    "endorse": Command("judge", "say that snapshots are good: they count, whatever speaks against them", "maintainer endorse web 4bba301e"),
    "reject": Command("judge", "let snapshots go that are not good, after showing them", "maintainer reject web 4bba301e --confirm 9c41d2"),
    "undelete": Command("judge", "take back files that were evicted, doomed or hidden", "maintainer undelete web 4bba301e"),
    "ack": Command(
        "judge",
        "acknowledge findings: they are no news any more, until something new is seen",
        "maintainer ack web foreign-name                # every finding of this kind\n"
        "maintainer ack web garbage:index/6edcb6a3      # this one",
    ),
    "logs": Command("ledger", "print what a run told", "maintainer logs last --repository web"),
    "ledger": Command("ledger", "print the ledger, or verify its chain", "maintainer ledger verify"),
    "serve": Command(
        "serve",
        "serve the verified view of a repository, read-only, until Ctrl-C",
        "maintainer serve web   # prints the address for restic -r: restore, mount, also in the middle of an attack",
    ),
    "key": Command(
        "key",
        "list a repository's keys, add one for a new password, let one go",
        "maintainer key rotate web --to ssm:/maintainer/web-2026\nmaintainer key retire web 3f1c9a0b2d11",
    ),
    "sweep": Command("sweep", "end instances and machines' runs that a dead controller left behind", "maintainer sweep --dry-run"),
    "gateway": Command(
        "gateway", "the append-only server for hosts that hold no key of the bucket", "maintainer gateway recycle --group servers"
    ),
    "enroll": Command(
        "enroll",
        "make a host one of ours: credentials, repository, backup files, configuration",
        "maintainer enroll web1 --path /srv --path /etc --dry-run",
    ),
    "retire": Command(
        "retire", "end a host's credentials; nothing of its repository is forgotten", "maintainer retire web1 --until 2031-12-31"
    ),
    "rebuild": Command(
        "rebuild",
        "after a compromise: copy endorsed snapshots into a repository with a new master key",
        "maintainer rebuild web1 --into web1b --dry-run",
    ),
    "doctor": Command("doctor", "try what the stores can do, and say what follows where they cannot", "maintainer doctor --repository web"),
    "drill": Command("drill", "rehearse attacks in a sandbox, under a repository's own policy", "maintainer drill attack web --only 12"),
    "image": Command("image", "the image that an instance boots from", "maintainer image build --ec2"),
    "sandbox": Command(
        "sandbox",
        "an AWS endpoint on loopback, with real machines and a clock that can be moved",
        "maintainer sandbox start --no-machines\nmaintainer sandbox clock +20d\nmaintainer sandbox stop",
    ),
    "restic": Command("resticfetch", "fetch restic, where this machine has none or an old one", "maintainer restic fetch"),
    "completion": Command("completion", "print what makes a shell complete these commands", 'eval "$(maintainer completion bash)"'),
}


def declare(commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, more: str = "") -> argparse.ArgumentParser:
    """Declare a command by its sentence and example; `more` is told by its own --help alone."""
    command = COMMANDS[name]
    return commands.add_parser(
        name,
        help=command.sentence,
        description=f"{command.sentence[:1].upper()}{command.sentence[1:]}.{more and f' {more}'}",
        epilog="example:\n" + "".join(f"  {line}\n" for line in command.example.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
