"""Reading the configuration file: every section is judged on its own, so that one mistake does not hide another."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from maintainer.core.errors import ArgumentError, ConfigurationError, Problem
from maintainer.core.job import Access, Expected, Job, Keep, Place, RepositoryJob
from maintainer.settings import wording
from maintainer.settings.models import (
    BuilderSection,
    DigitalOceanSection,
    Ec2Section,
    GroupSection,
    RepositorySection,
    ResticSection,
    RunSection,
    S3Section,
    SandboxSection,
    StateSection,
)
from maintainer.settings.places import Path as Key
from maintainer.settings.places import find_places, line_of
from maintainer.settings.values import Mistake

S = TypeVar("S", bound=BaseModel)
SECTIONS = ("s3", "ec2", "digitalocean", "builder", "state", "restic", "run", "sandbox", "group", "repository")


@dataclass(frozen=True, slots=True)
class Settings:
    """A valid configuration."""

    path: Path
    s3: S3Section
    ec2: Ec2Section
    state: StateSection
    restic: ResticSection
    run: RunSection
    sandbox: SandboxSection
    groups: tuple[GroupSection, ...]
    repositories: tuple[RepositorySection, ...]
    digitalocean: DigitalOceanSection | None = None
    builder: BuilderSection | None = None

    def access(self) -> Access:
        """Return how S3 is reached."""
        return self._access(self.s3)

    def ec2_access(self, region: str = "") -> Access:
        """Return how EC2 is reached, in its own region or another."""
        return replace(self._access(self.ec2), region=region or self.ec2.region)

    def _access(self, section: S3Section) -> Access:
        file = str(self.path.parent / Path(section.credentials_file).expanduser()) if section.credentials_file else ""
        return Access(section.endpoint, section.region, section.profile, file, self.sandbox.clock)

    def state_place(self) -> Place:
        """Return where the ledgers lie."""
        place = self.state.location
        return Place(place.bucket, place.prefix, place.endpoint or self.s3.endpoint)

    def job(self, run_id: str, repositories: Iterable[RepositorySection], *, plan_only: bool = False) -> Job:
        """Return what an agent is asked to do for these repositories."""
        return Job(
            run_id=run_id,
            access=self.access(),
            state=self.state_place(),
            repositories=tuple(_repository(one) for one in repositories),
            restic=self.restic.path,
            memory=self.restic.memory_mib << 20,
            time_s=self.restic.time.total_seconds(),
            plan_only=plan_only,
        )

    def chosen(self, names: Iterable[str], groups: Iterable[str]) -> tuple[RepositorySection, ...]:
        """Return the repositories of these names and groups, all where none is named; ArgumentError for a name that is not there."""
        wanted_names, wanted_groups = set(names), set(groups)
        known = {"repository": {one.name for one in self.repositories}, "group": {one.name for one in self.groups}}
        problems = [
            Problem(f"--{what} {name}", (m := wording.unknown_word(what, name, tuple(known[what]))).found, m.expected, m.do)
            for what, wanted in (("repository", wanted_names), ("group", wanted_groups))
            for name in sorted(wanted - known[what])
        ]
        if problems:
            raise ArgumentError(tuple(problems))
        if not self.repositories:
            raise ConfigurationError(
                (Problem(str(self.path), "no repository", "at least one [[repository]]", "add one: the README shows it"),)
            )
        everything = not wanted_names and not wanted_groups
        return tuple(one for one in self.repositories if everything or one.name in wanted_names or one.group in wanted_groups)


def _repository(one: RepositorySection) -> RepositoryJob:
    keep = one.keep
    return RepositoryJob(
        name=one.name,
        place=one.location,
        password=one.password,
        keep=Keep(
            keep.last,
            keep.hourly,
            keep.daily,
            keep.weekly,
            keep.monthly,
            keep.yearly,
            "" if keep.within == "0h" else keep.within,
            keep.tags,
        ),
        expect=tuple(Expected(each.host, each.paths, each.every.total_seconds()) for each in one.expect),
        probation_s=one.probation.total_seconds(),
        grace_s=one.grace.total_seconds(),
        at_least=one.at_least,
        share=one.share,
        stale_s=one.stale.total_seconds(),
        answer_s=one.answer.total_seconds(),
        host_profile=one.host_profile,
        kms_key=one.kms_key,
        key=one.key,
        keep_until=one.keep_until,
        read_data=one.read_data,
        reread_s=one.reread.total_seconds(),
    )


def _with_tuples(table: object) -> object:
    """TOML has arrays where the frozen values are tuples, also in the tables of an array."""
    if not isinstance(table, dict):
        return table
    return {key: tuple(_with_tuples(one) for one in value) if isinstance(value, list) else value for key, value in table.items()}


def load(path: Path) -> Settings:
    """Read and check the file; ConfigurationError holds all mistakes, each with its line."""
    return parse(_read(path), path)


def parse(text: str, path: Path) -> Settings:
    """Check a configuration's text; `path` is what its mistakes are told by, and what relative paths in it start from."""
    reader = _Reader(path, _decode(text, path), find_places(text))
    settings = reader.read()
    if settings is None or reader.problems:
        raise ConfigurationError(tuple(problem for _, problem in sorted(reader.problems, key=lambda found: found[0])))
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
    except FileNotFoundError as error:
        problem = Problem(str(path), "no such file", "a configuration", "write one (the README shows one), or name yours: --config PATH")
        raise ConfigurationError((problem,)) from error
    except OSError as error:
        problem = Problem(str(path), f"unreadable ({error.strerror})", "a readable file", "check the path, its owner and its mode")
        raise ConfigurationError((problem,)) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError((Problem(str(path), "bytes that are no UTF-8", "a text in UTF-8", "save the file as UTF-8"),)) from error


def _decode(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)", str(error))
        line = found["line"] if found and found["line"] else str(max(1, len(text.splitlines())))
        what = found["what"] if found else str(error)
        do = "correct this line: a section is [name], a value is key = value, text stands in double quotes"
        raise ConfigurationError((Problem(f"{path}:{line}", what[:1].lower() + what[1:], "valid TOML", do),)) from error


LAUNCHED = frozenset({"ec2", "digitalocean"})
"""Computes whose agents run on a machine that is made for the run: it has no files, commands or environment of ours."""


def on_this_machine(source: str) -> Mistake | None:
    """Return what is wrong with a password's source for a repository whose group runs on an instance; None if an instance can read it."""
    scheme = source.partition(":")[0]
    if scheme in {"ssm", "secretsmanager"}:
        return None
    expected = "`ssm:` or `secretsmanager:`, since its group runs on an instance"
    return Mistake(f"a source on this machine ({scheme}:)", expected, _ELSEWHERE)


_ELSEWHERE = "put the password where the instance's role may read it"


class _Reader:
    """One reading of one file: its sections as models, and the mistakes found on the way, each with its line."""

    def __init__(self, path: Path, raw: dict[str, Any], places: Mapping[Key, int]) -> None:
        self.path = path
        self.raw = raw
        self.places = places
        self.problems: list[tuple[int, Problem]] = []

    def read(self) -> Settings | None:
        for name in self.raw:
            if name not in SECTIONS:
                self._add((name,), wording.unknown("section", name, SECTIONS))
        s3 = self._section(S3Section, ("s3",), self.raw.get("s3", {}))
        ec2 = self._section(Ec2Section, ("ec2",), _with_tuples(self.raw.get("ec2", {})))
        state = self._section(StateSection, ("state",), self.raw.get("state", {}))
        restic = self._section(ResticSection, ("restic",), self.raw.get("restic", {}))
        run = self._section(RunSection, ("run",), self.raw.get("run", {}))
        sandbox = self._section(SandboxSection, ("sandbox",), self.raw.get("sandbox", {}))
        ocean = self._section(DigitalOceanSection, ("digitalocean",), self.raw["digitalocean"]) if "digitalocean" in self.raw else None
        builder = self._section(BuilderSection, ("builder",), _with_tuples(self.raw["builder"])) if "builder" in self.raw else None
        groups = self._groups()
        repositories = self._repositories()
        self._cross_check(state, groups, repositories)
        if s3 is None or ec2 is None or state is None or restic is None or run is None or sandbox is None:
            return None
        only = groups[0].name if len(groups) == 1 else ""
        grouped = tuple(one.model_copy(update={"group": one.group or only}) for _, one in repositories)
        return Settings(self.path, s3, ec2, state, restic, run, sandbox, groups, grouped, ocean, builder)

    def _groups(self) -> tuple[GroupSection, ...]:
        tables = self.raw.get("group", {})
        if not isinstance(tables, dict) or not tables:
            self._add(("group",), Mistake("no group", "at least one [group.NAME]", 'add [group.default] with compute = "local"'))
            return ()
        read = [
            self._section(GroupSection, ("group", name), {**table, "name": name} if isinstance(table, dict) else table)
            for name, table in tables.items()
        ]
        groups = tuple(one for one in read if one is not None)
        for group in groups:
            for compute, name, section, keys, shown in (
                ("ec2", "instance", group.instance, "image, image_digest, instance_profile and subnets", "docs/ec2.md"),
                ("ssh", "machine", group.machine, "address, host_key and key", "docs/machines.md"),
                ("digitalocean", "droplet", group.droplet, "image, image_digest, regions and credentials", "docs/droplets.md"),
            ):
                if group.compute == compute and section is None:
                    mistake = Mistake(f"no [group.{group.name}.{name}]", keys, f"add it: {shown} shows one")
                    self._add(("group", group.name), mistake)
            if group.compute == "digitalocean" and "digitalocean" not in self.raw:
                mistake = Mistake("no [digitalocean]", "token, the source of an API token", "add it: docs/droplets.md shows one")
                self._add(("group", group.name), mistake)
            if group.droplet is not None and group.droplet.vpc and len(group.droplet.regions) > 1:
                mistake = Mistake("a VPC beside several regions", "one region, that of the VPC", "leave the others out")
                self._add(("group", group.name, "droplet", "vpc"), mistake)
        return groups

    def _repositories(self) -> list[tuple[int, RepositorySection]]:
        tables = self.raw.get("repository", [])
        if not isinstance(tables, list):
            self._add(("repository",), Mistake("a single [repository]", "[[repository]], once for each", "double the brackets"))
            return []
        read = [(number, self._section(RepositorySection, ("repository", number), table)) for number, table in enumerate(tables)]
        return [(number, one) for number, one in read if one is not None]

    def _cross_check(
        self, state: StateSection | None, groups: tuple[GroupSection, ...], repositories: list[tuple[int, RepositorySection]]
    ) -> None:
        names = tuple(self.raw.get("group", {})) if isinstance(self.raw.get("group"), dict) else ()
        for number, one in repositories:
            at: Key = ("repository", number)
            if one.group and one.group not in names:
                self._add((*at, "group"), wording.unknown("group", one.group, names))
            if not one.group and len(groups) > 1:
                self._add(at, Mistake("no group", f"group = one of {', '.join(names)}", "say to which group it belongs"))
            if state is not None and (one.location.contains(state.location) or state.location.contains(one.location)):
                found = f"{state.location} is the place of repository {one.name!r}, or within it or around it"
                self._add(("state", "location"), Mistake(found, "a bucket that no backup host reaches", "move the state store"))
        self._check_prices(groups)
        self._check_gateways(state, groups)
        self._check_hosts(groups)
        self._check_passwords(groups, repositories)
        self._check_policies(repositories)
        self._check_readings(repositories)
        self._compare(repositories)

    def _check_prices(self, groups: tuple[GroupSection, ...]) -> None:
        """Refuse a limit that nothing would keep: RunInstances takes one for spot alone."""
        for group in groups:
            for section, one in (("instance", group.instance), ("gateway", group.gateway)):
                if one is not None and one.max_price and one.launch == "run-instances" and "on-demand" in one.market:
                    found = 'a limit that launch = "run-instances" has for spot alone'
                    mistake = Mistake(found, 'launch = "fleet", or market = ["spot"]', "choose one, or remove this")
                    self._add(("group", group.name, section, "max_price"), mistake)

    def _check_gateways(self, state: StateSection | None, groups: tuple[GroupSection, ...]) -> None:
        """Refuse a gateway that leads to the state store, or to another group's hosts."""
        gateways = [(group.name, group.gateway) for group in groups if group.gateway is not None]
        for name, one in gateways:
            at: Key = ("group", name, "gateway", "location")
            if state is not None and (one.location.contains(state.location) or state.location.contains(one.location)):
                mistake = Mistake(f"{one.location} leads to the state store", "a bucket of the hosts' own", "move the state store, or this")
                self._add(at, mistake)
        for (left, first), (right, second) in combinations(gateways, 2):
            if first.location.contains(second.location) or second.location.contains(first.location):
                mistake = Mistake(f"what the gateway of group {left!r} serves, too", "a place of its own", "give each group its own prefix")
                self._add(("group", right, "gateway", "location"), mistake)

    def _check_hosts(self, groups: tuple[GroupSection, ...]) -> None:
        """Refuse what would make each enrolled host a mistake of its own."""
        for group in groups:
            hosts, at = group.hosts, ("group", group.name, "hosts")
            if hosts is None:
                continue
            if group.compute != "local" and not hosts.passwords.startswith("ssm:"):
                found = f"a folder on this machine ({hosts.passwords})"
                self._add((*at, "passwords"), Mistake(found, "`ssm:/path`, since its group runs on another machine", _ELSEWHERE))
            if hosts.through == "gateway" and group.gateway is None:
                do = 'add it, or say through = "s3"'
                self._add((*at, "through"), Mistake(f"no [group.{group.name}.gateway]", "the gateway that hosts come by", do))

    def _check_passwords(self, groups: tuple[GroupSection, ...], repositories: list[tuple[int, RepositorySection]]) -> None:
        """Find passwords that lie on this machine while their repository is maintained on another."""
        elsewhere = {group.name for group in groups if group.compute in LAUNCHED}
        only = groups[0].name if len(groups) == 1 else ""
        for number, one in repositories:
            if (one.group or only) in elsewhere and (mistake := on_this_machine(one.password)) is not None:
                self._add(("repository", number, "password"), mistake)

    def _check_policies(self, repositories: list[tuple[int, RepositorySection]]) -> None:
        """Refuse a policy by which even honest backups would fall below the floor: the guard would hold it for ever."""
        for number, one in repositories:
            keep = one.keep
            counts = (keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly)
            has_rule = any(counts) or keep.tags or keep.within != "0h"
            if has_rule and keep.within == "0h" and -1 not in counts and max(counts) < one.at_least:
                kept = f"a policy that keeps {max(counts)} snapshots" if max(counts) else "a policy that keeps nothing but tagged snapshots"
                expected = f"one that keeps the {one.at_least} that always stay (at_least)"
                self._add(("repository", number, "keep"), Mistake(kept, expected, "keep more, or set at_least = 1 for this repository"))

    def _check_readings(self, repositories: list[tuple[int, RepositorySection]]) -> None:
        """Refuse a `reread` that nothing heeds."""
        for number, one in repositories:
            if one.read_data == "always" and "reread" in one.model_fields_set:
                mistake = Mistake("a time where every check reads everything", 'read_data = "new" with it', "add that, or remove this")
                self._add(("repository", number, "reread"), mistake)

    def _compare(self, repositories: list[tuple[int, RepositorySection]]) -> None:
        for (_, left), (number, right) in combinations(repositories, 2):
            if left.name == right.name:
                self._add(
                    ("repository", number, "name"),
                    Mistake(f"a second repository {right.name!r}", "a name of its own", "rename one of them"),
                )
            elif left.location.contains(right.location) and right.location.contains(left.location):
                found = f"the same place as repository {left.name!r}"
                self._add(("repository", number, "location"), Mistake(found, "a place of its own", "remove one of them"))
            elif left.location.contains(right.location) or right.location.contains(left.location):
                found = f"{right.location} and repository {left.name!r} at {left.location} lie one inside the other"
                self._add(("repository", number, "location"), Mistake(found, "places side by side", "correct one of the locations"))

    def _section(self, model: type[S], at: Key, table: object) -> S | None:
        shown = "[[repository]]" if at[0] == "repository" else f"[{'.'.join(map(str, at))}]"
        if not isinstance(table, dict):
            self._add(at, Mistake("a single value", f"a section {shown}", "write a section with its keys below"))
            return None
        if model is GroupSection:
            table = {key: _with_tuples(value) for key, value in table.items()}
        is_single = model is RepositorySection and isinstance(table.get("expect"), dict)
        if model is RepositorySection and isinstance(expect := table.get("expect"), dict | list):
            table = {**table, "expect": tuple(_with_tuples(one) for one in ([expect] if isinstance(expect, dict) else expect))}
        if model is RepositorySection and "keep" in table:
            table = {**table, "keep": _with_tuples(table["keep"])}
        try:
            return model.model_validate(table)
        except ValidationError as error:
            found = error.errors()
            misspelt = {wording.nearest(details, model, shown) for details in found}
            for details in found:
                if details["type"] == "missing" and details["loc"] in misspelt:
                    continue  # one mistake, told where it stands
                key = tuple(part for part in details["loc"] if not (is_single and part == 0 and details["loc"][0] == "expect"))
                self._add((*at, *key), wording.explain({**details, "loc": key}, model, shown))
            return None

    def _add(self, key: Key, mistake: Mistake) -> None:
        line = line_of(self.places, key)
        problem = Problem(f"{self.path}:{line} {self._named(key)}", mistake.found, mistake.expected, mistake.do)
        self.problems.append((line, problem))

    def _named(self, key: Key) -> str:
        """Write a key for people: a repository by its name where it has one, else by its number from 1."""
        shown = [part for part in key if isinstance(part, str)]
        if key[0] == "repository" and len(key) > 1 and isinstance(key[1], int):
            entry = self.raw["repository"][key[1]]
            name = entry.get("name") if isinstance(entry, dict) else None
            shown[0] = f"repository[{name if isinstance(name, str) else f'#{key[1] + 1}'}]"
        return ".".join(shown)
