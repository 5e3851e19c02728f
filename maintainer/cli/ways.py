"""A host's place and its way there, as the configuration says."""

from __future__ import annotations

import argparse

from maintainer.cli import common, gateway
from maintainer.core.errors import ArgumentError, ConfigurationError, Problem
from maintainer.core.job import Access, Place
from maintainer.edges.iam import Iam
from maintainer.hosts.ways import ByGateway, OwnKey, user_of
from maintainer.settings.load import Settings
from maintainer.settings.models import GroupSection, HostsSection


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Declare which group a host is of, who lets it in, and the configuration."""
    parser.add_argument("--group", metavar="NAME", help="of which group, where there are several")
    parser.add_argument("--profile", metavar="NAME", help="the AWS profile of who administers hosts (default: what [s3] says)")
    common.add_config(parser)


def section(chosen: Settings, name: str | None) -> tuple[GroupSection, HostsSection]:
    """Return the group that a host is of, and what makes its hosts. ConfigurationError where none is meant, or several may be."""
    found = [(one, one.hosts) for one in chosen.groups if one.hosts is not None and name in (None, one.name)]
    if not found:
        do = 'add location = "s3:https://…/BUCKET" and passwords = "ssm:/maintainer/GROUP" there'
        raise ConfigurationError((Problem(str(chosen.path), f"no [group.{name or 'NAME'}.hosts]", "where hosts' repositories lie", do),))
    if len(found) > 1:
        names = ", ".join(group.name for group, _ in found)
        raise ArgumentError((Problem("--group", "none named", f"one of {names}", "say to which group the host belongs"),))
    return found[0]


def place(chosen: Settings, group: GroupSection, section: HostsSection, name: str) -> Place:
    """Return where the host's repository lies. ConfigurationError where that is another's place, or within it or around it."""
    here = section.location.below(name)
    for one in chosen.repositories:
        is_same = here.contains(one.location) and one.location.contains(here)
        if one.name == name and not (is_same and one.group == group.name):
            do = "give the host another name, or correct the location in [group.NAME.hosts]"
            found = f"a repository {name!r} at {one.location}, group {one.group}"
            raise ConfigurationError((Problem(name, found, f"none of that name, or the one at {here}", do),))
        if one.name != name and (here.contains(one.location) or one.location.contains(here)):
            found = f"{here} and repository {one.name!r} at {one.location} lie one inside the other"
            raise ConfigurationError((Problem(name, found, "places side by side", "give the host another name"),))
    return here


def way(chosen: Settings, group: GroupSection, section: HostsSection, access: Access, name: str) -> OwnKey | ByGateway:
    """Return how a host reaches its repository. `access` may write what lets it in."""
    if section.through == "s3":
        own = section.location.below(name)
        return OwnKey(Iam(access), user_of(name, own), own, location(own), chosen.s3.region, section.kms_key)
    if group.gateway is None:
        raise AssertionError("settings refuse a way that is not there")
    if not (group.gateway.location.contains(section.location) and section.location.contains(group.gateway.location)):
        found = f"{section.location}, while the gateway serves {group.gateway.location}"
        raise ConfigurationError((Problem(f"[group.{group.name}.hosts] location", found, "the same place", "correct one of them"),))
    return gateway.way(chosen, group.name, group.gateway, access, name)


def location(place: Place) -> str:
    """Write a place in restic's own form."""
    return f"s3:{place.endpoint}/{place.bucket}/{place.prefix}"
