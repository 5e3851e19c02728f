"""What commands that use a configuration share: its option, its clock, its repositories and hosts, and who may write."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from maintainer.core.errors import ArgumentError, Problem
from maintainer.core.gateway import USER
from maintainer.core.job import Access
from maintainer.edges.clock import SystemClock
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import StateStore
from maintainer.settings.load import Settings, load, parse
from maintainer.settings.models import RepositorySection
from maintainer.settings.wording import unknown_word

DEFAULT = "maintainer.toml"
TEXT = "MAINTAINER_TOML"
"""The environment's variable that may hold a whole configuration: that of a container, which has no file of its own."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Declare --config and --json. The former may also stand before the command: a default here would hide that."""
    text = f"the configuration (default: the text in ${TEXT}, the file $MAINTAINER_CONFIG, or {DEFAULT} here)"
    parser.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=text)
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Declare --repository and --group."""
    parser.add_argument("--repository", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    parser.add_argument("--group", action="append", default=[], metavar="NAME", help="only this group; may be repeated")


def settings(arguments: argparse.Namespace) -> Settings:
    """Read the configuration that the command line names, or the environment, or that lies here."""
    if arguments.config is None and (text := os.environ.get(TEXT)):
        return parse(text, Path(f"${TEXT}"))
    return load(arguments.config or Path(os.environ.get("MAINTAINER_CONFIG") or DEFAULT))


def clock(chosen: Settings) -> SystemClock:
    """Return the clock of this configuration: in a sandbox a moved one."""
    return SystemClock(Path(chosen.sandbox.clock) if chosen.sandbox.clock else None)


def state(chosen: Settings, repository: RepositorySection) -> StateStore:
    """Return one repository's part of the state store."""
    place = chosen.state_place()
    return StateStore(S3(chosen.access(), place.endpoint), place.below(repository.name))


def only(chosen: Settings, name: str) -> RepositorySection:
    """Return the repository of this name. ArgumentError if there is none."""
    found = {one.name: one for one in chosen.repositories}
    if name not in found:
        mistake = unknown_word("repository", name, tuple(found))
        raise ArgumentError((Problem(name, mistake.found, mistake.expected, mistake.do),))
    return found[name]


def writing(chosen: Settings, profile: str | None) -> Access:
    """Return how parameters are written: by a person, whose rights are not those of a run."""
    return replace(chosen.access(), profile=profile) if profile else chosen.access()


def host_name(name: str) -> str:
    """Check a host's name. ConfigurationError for one that a path, a user or a password file reads otherwise."""
    if not USER.fullmatch(name):
        expected = "1 to 64 of a-z, 0-9, dot, hyphen and underscore, a letter or digit first and last"
        raise ArgumentError((Problem("HOST", repr(name), expected, "give the host such a name here; its own need not change"),))
    return name
