"""What a valid configuration holds, as frozen values; the shape is that of the file."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from maintainer.core.job import Place
from maintainer.settings import values
from maintainer.settings.values import Mistake


def _of_text(parse: Callable[[str], Any]) -> BeforeValidator:
    def check(value: object) -> Any:
        if not isinstance(value, str):
            raise Mistake(f"{type(value).__name__} {value!r}", "text in quotes", "put the value in double quotes")
        return parse(value)

    return BeforeValidator(check)


Location = Annotated[Place, _of_text(values.parse_location)]
Name = Annotated[str, AfterValidator(values.parse_name)]
Duration = Annotated[timedelta, _of_text(values.parse_duration)]
Word = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
Types = Annotated[tuple[Word, ...], Field(min_length=1)]
Market = Annotated[tuple[Literal["spot", "on-demand"], ...], Field(min_length=1)]
Count = Annotated[int, Field(ge=-1)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of the file. Unknown keys are mistakes; so are values of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True, defer_build=True)


class S3Section(Section):
    """`[s3]`: as in any AWS tool; all optional on AWS."""

    endpoint: Annotated[str, AfterValidator(values.parse_endpoint)] = ""
    region: Word = ""
    profile: Word = ""
    credentials_file: Word = ""


class StateSection(Section):
    """`[state]`: where the ledger lies; no backup host may reach it."""

    location: Location


class RunSection(Section):
    """`[run]`: when `maintainer run` runs, as a service: at `at` (UTC) and every period from there. `groups_at_once`: the others wait.

    `month_budget`: USD that a calendar month's runs may have cost, instances and requests, before no instance is launched; 0 is no limit.
    """

    at: Annotated[timedelta, _of_text(values.parse_time)] = timedelta(hours=3, minutes=30)
    every: Annotated[timedelta, _of_text(values.parse_period)] = timedelta(days=1)
    groups_at_once: Annotated[int, Field(ge=1)] = 20
    month_budget: Dollars = 0


class ResticSection(Section):
    """`[restic]`: the binary, and what each of its commands may use."""

    path: Word = "restic"
    memory_mib: Annotated[int, Field(ge=256)] = 4096
    time: Duration = timedelta(hours=12)


class SandboxSection(Section):
    """`[sandbox]`: written by `maintainer sandbox start`; the file that moves its clock."""

    clock: Word = ""


class Ec2Section(S3Section):
    """`[ec2]`: how the controller reaches EC2; all optional on AWS. `swept_regions`: where maintainer sweep looks too."""

    swept_regions: tuple[Word, ...] = ()


class DigitalOceanSection(Section):
    """`[digitalocean]`: `token` is the source of the API token; `endpoint` another URL than DigitalOcean's own."""

    token: Annotated[str, AfterValidator(values.parse_password)]
    endpoint: Annotated[str, AfterValidator(values.parse_api)] = "https://api.digitalocean.com"


class AlsoSection(Section):
    """`[[group.NAME.instance.also]]`: the image of another architecture, and the types that it runs on."""

    image: Word
    image_digest: Annotated[str, AfterValidator(values.parse_digest)]
    types: Types


class LaunchSection(Section):
    """What is launched, and where it may be: every type in every subnet.

    `image_digest` is what the image's tag and the image itself must say. `market`: tried in this order.
    `launch_template`: an id; its default version says what is not said here, such as disks, tags and monitoring.
    `max_price`: USD an hour, the most that an instance may cost; 0 is EC2's own limit, which for spot is the on-demand price.
    """

    image: Word
    image_digest: Annotated[str, AfterValidator(values.parse_digest)]
    instance_profile: Word
    subnets: Annotated[tuple[Word, ...], Field(min_length=1)]
    security_groups: tuple[Word, ...] = ()
    types: Types = ("m7i.large", "m7a.large", "m6i.large", "m6a.large", "m5.large")
    market: Market = ("spot", "on-demand")
    launch: Literal["fleet", "run-instances"] = "fleet"
    disk_gib: Annotated[int, Field(ge=8)] = 16
    launch_template: Word = ""
    max_price: Dollars = 0
    also: tuple[AlsoSection, ...] = ()


class InstanceSection(LaunchSection):
    """`[group.NAME.instance]`: a short-lived instance. `limit`: then it powers itself off.

    `instance_connect_endpoint`: the id of the one through which it is followed; without it directly, from within its network.
    `try_for`: how long a run goes on trying where no place has room, from its start.
    `run_budget`: USD that a run's instances may have cost before no other takes the place of one that EC2 took back; 0 is no limit.
    """

    limit: Duration = timedelta(hours=12)
    ssh_port: Port = 22
    instance_connect_endpoint: Word = ""
    try_for: Duration = timedelta(minutes=30)
    run_budget: Dollars = 0


class BuilderSection(Section):
    """`[builder]`: the instance on which `maintainer image build --ec2` makes an image, and which ends with it.

    `image` is Debian 13's own, and `user` the account that it lets in. Its subnets have a way to the internet: it downloads packages.
    `public`: it has a public address, and is reached by that. `limit`: then it powers itself off.
    """

    image: Word
    subnets: Annotated[tuple[Word, ...], Field(min_length=1)]
    security_groups: tuple[Word, ...] = ()
    types: Types = ("t3.small", "t3a.small", "t3.medium")
    user: Word = "admin"
    public: bool = False
    ssh_port: Port = 22
    instance_connect_endpoint: Word = ""
    disk_gib: Annotated[int, Field(ge=8)] = 8
    limit: Duration = timedelta(hours=1)


class MachineSection(Section):
    """`[group.NAME.machine]`: a machine that is there already, and stays; its account's key may do nothing but run agents.

    `host_key` is what it must prove to be; `key` the source of the private ed25519 key that opens. `limit`: then a run's agent is ended.
    `try_for`: how long a run goes on trying to reach it. `profile` and `restic`: of the machine's own AWS credentials, and its binary.
    """

    address: Annotated[str, AfterValidator(values.parse_host)]
    host_key: Annotated[str, AfterValidator(values.parse_host_key)]
    key: Annotated[str, AfterValidator(values.parse_password)]
    port: Port = 22
    user: Word = "maintainer"
    limit: Duration = timedelta(hours=12)
    try_for: Duration = timedelta(minutes=10)
    profile: str = ""
    restic: Word = "restic"


class DropletSection(Section):
    """`[group.NAME.droplet]`: a short-lived droplet; every size in every region is tried, in order. `limit`: then it powers itself off.

    `image` is a snapshot's id; `image_digest` what its tag and the image itself must say. `network`: by which of its addresses the
    controller reaches it; with "private" it has no other. `credentials` is the source of the store's keys, which the controller brings
    to it over SSH: JSON, as a `credential_process` of AWS prints it. `try_for` and `run_budget`: as of an instance.
    """

    image: Annotated[int, Field(ge=1)]
    image_digest: Annotated[str, AfterValidator(values.parse_digest)]
    regions: Types
    credentials: Annotated[str, AfterValidator(values.parse_password)]
    sizes: Types = ("s-4vcpu-8gb", "s-4vcpu-8gb-intel", "s-4vcpu-8gb-amd")
    vpc: Word = ""
    network: Literal["public", "private"] = "public"
    limit: Duration = timedelta(hours=12)
    ssh_port: Port = 22
    try_for: Duration = timedelta(minutes=30)
    run_budget: Dollars = 0


class GatewaySection(LaunchSection):
    """`[group.NAME.gateway]`: an append-only server for hosts that hold no key of the bucket; a folder below `location` for each.

    Hosts reach it as `address`, which its certificate names: `elastic_ip` (an allocation's id) leads to the instance that serves.
    `tls` is the source of the private key and its certificates in PEM, `users` the path of parameters with each user's bcrypt hash: without
    them `/maintainer/gateway/GROUP/tls` and `/users`. `certificate`: what is to be trusted, a file or its PEM; without it, what this
    machine trusts. `authority` is where `certify` keeps what signs: by default `/maintainer-authority/GROUP`, which no role of ours reads.
    """

    address: Annotated[str, AfterValidator(values.parse_host)]
    location: Location
    elastic_ip: Word
    port: Port = 8000
    tls: Annotated[str, AfterValidator(values.parse_parameter)] = ""
    users: Annotated[str, AfterValidator(values.parse_parameter)] = ""
    certificate: Word = ""
    authority: Annotated[str, AfterValidator(values.parse_parameter)] = ""
    types: Types = ("t3.nano", "t3a.nano", "t3.micro")
    market: Market = ("on-demand",)


class KeepSection(Section):
    """`[repository.keep]`: restic's rules. -1 keeps all, 0 is no rule."""

    last: Count = 0
    hourly: Count = 0
    daily: Count = 0
    weekly: Count = 0
    monthly: Count = 0
    yearly: Count = 0
    within: Annotated[str, AfterValidator(values.parse_within)] = "0h"
    tags: tuple[Word, ...] = ()


class HostsSection(Section):
    """`[group.NAME.hosts]`: what `maintainer enroll` makes a host from: its repository is a folder of its name below `location`.

    Below `passwords` lie the repositories' passwords as maintainer knows them: parameters (`ssm:/path`), or files in a folder
    (`file:/path`). `through`: with a key of the bucket's own, or by the group's gateway. `keep`: the rules of new repositories.
    `kms_key` is the ARN of the KMS key under which the bucket encrypts, if it does.
    """

    location: Location
    passwords: Annotated[str, AfterValidator(values.parse_store)]
    through: Literal["s3", "gateway"] = "s3"
    kms_key: Annotated[str, AfterValidator(values.parse_kms_key)] = ""
    keep: KeepSection = KeepSection(daily=14, weekly=8, monthly=12)


class GroupSection(Section):
    """`[group.NAME]`: one classification of data.

    `local`: this machine is the maintenance instance; `ec2`: a short-lived one is; `ssh`: a machine that is there already;
    `digitalocean`: a short-lived droplet.
    """

    name: Name
    compute: Literal["local", "ec2", "ssh", "digitalocean"]
    instance: InstanceSection | None = None
    machine: MachineSection | None = None
    droplet: DropletSection | None = None
    gateway: GatewaySection | None = None
    hosts: HostsSection | None = None


class ExpectSection(Section):
    """`[repository.expect]`: which host backs up which paths, and how often; or `[[repository.expect]]`, once for each.

    Without it a person confirms what the first run saw. Without `every` history says how often.
    """

    host: Word
    paths: Annotated[tuple[Word, ...], Field(min_length=1)]
    every: Duration = timedelta(0)


class RepositorySection(Section):
    """`[[repository]]`. `group` may be left out where there is only one; `host_profile` names the host's own credentials.

    The guard: at least `at_least` counting snapshots of a host and paths stay, one run forgets no more than `share` of them, and nothing
    while the newest plausible one is older than `stale`. Versions that a run marked or replaced may expire after `answer`.

    `kms_key` is the ARN of the KMS key under which the bucket encrypts, if it does: any other counts as an attack.

    `key` is the id of the key file that opens the repository, or its beginning: for where many others hide it.

    `keep_until` a date, or "for ever": its host is retired. It is healed and checked as before, and no backup of it is missed or forgotten.

    A check reads every pack (`read_data = "always"`), or those that none has read yet ("new"), and then all again every `reread`.
    """

    name: Name
    location: Location
    password: Annotated[str, AfterValidator(values.parse_password)]
    group: str = ""
    keep: KeepSection = KeepSection()
    expect: tuple[ExpectSection, ...] = ()
    probation: Duration = timedelta(days=14)
    grace: Duration = timedelta(days=7)
    at_least: Annotated[int, Field(ge=1)] = 3
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    stale: Duration = timedelta(days=7)
    answer: Duration = timedelta(days=30)
    host_profile: Word = ""
    kms_key: Annotated[str, AfterValidator(values.parse_kms_key)] = ""
    keep_until: Annotated[str, BeforeValidator(values.parse_until)] = ""
    read_data: Literal["always", "new"] = "always"
    reread: Duration = timedelta(days=30)
    key: Annotated[str, AfterValidator(values.parse_key_id)] = ""
