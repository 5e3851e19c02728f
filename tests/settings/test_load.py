"""A configuration is read whole: every mistake is told at once, with its line, what was expected, and what to do."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from maintainer.core.errors import ConfigurationError
from maintainer.core.job import Place
from maintainer.settings.load import Settings, load

GOOD = """\
[state]
location = "s3:https://s3.eu-central-1.amazonaws.com/acme-state/prod"
[group.servers]
compute = "local"
[[repository]]
name = "web"
location = "s3:http://127.0.0.1:9000/backups/web"
password = "file:/etc/maintainer/web"
grace = "36h"
[repository.expect]
host = "web1"
paths = ["/srv"]
[repository.keep]
daily = 14
tags = ["forever"]
"""


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "maintainer.toml"
    path.write_text(text)
    return load(path)


def test_a_good_file_becomes_a_job(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD)
    job = settings.job("run", settings.chosen([], []))
    (one,) = job.repositories
    assert one.place == Place("backups", "web", "http://127.0.0.1:9000")
    assert (one.grace, one.probation) == (timedelta(hours=36), timedelta(days=14))
    assert (one.keep.daily, one.keep.tags, one.expect[0].paths) == (14, ("forever",), ("/srv",))
    assert job.state == Place("acme-state", "prod", "https://s3.eu-central-1.amazonaws.com")
    assert settings.repositories[0].group == "servers"


def test_several_hosts_may_be_expected_each_as_often_as_it_is(tmp_path: Path) -> None:
    more = '[[repository.expect]]\nhost = "db"\npaths = ["/a", "/b"]\nevery = "6h"\n'
    text = GOOD.replace("[repository.expect]", f"{more}[[repository.expect]]")
    (one,) = read(tmp_path, text).job("run", read(tmp_path, text).repositories).repositories
    assert [(each.host, each.paths, each.every_s) for each in one.expect] == [("db", ("/a", "/b"), 21_600), ("web1", ("/srv",), 0)]


@pytest.mark.parametrize("keep", ["daily = 3", "last = -1", 'within = "1y"', "last = 1\nyearly = 3"])
def test_a_policy_that_keeps_the_floor_is_taken(tmp_path: Path, keep: str) -> None:
    read(tmp_path, GOOD.replace("daily = 14", keep))


MACHINE = """[group.servers.machine]
address = "vault.example.com"
host_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVRgUb7x1xBW3mPDt5Tjes1FPvxVmNP3C8BH07YBhlx root@vault"
key = "file:/etc/maintainer/machine.key"
"""
DROPLET = """[digitalocean]
token = "file:/etc/maintainer/digitalocean"
[group.servers.droplet]
image = 152601987
image_digest = "{}"
regions = ["fra1", "ams3"]
credentials = "command:keys"
"""
HOSTS = '[group.servers.hosts]\nlocation = "s3:https://s3.amazonaws.com/acme-backups"\npasswords = "{}"\nthrough = "{}"\n'
GATEWAY = """[group.{}.gateway]
address = "{}"
location = "s3:https://s3.amazonaws.com/{}"
elastic_ip = "eipalloc-1"
image = "ami-1"
image_digest = "{}"
instance_profile = "gateway"
subnets = ["subnet-1"]
"""
DIGEST = "0" * 64


def test_a_gateway_and_hosts_that_come_by_it_are_taken_with_what_most_need(tmp_path: Path) -> None:
    text = GOOD + HOSTS.format("file:/etc/maintainer", "gateway") + GATEWAY.format("servers", "b.example.com", "acme-backups", DIGEST)
    (group,) = read(tmp_path, text).groups
    assert group.gateway is not None
    assert group.hosts is not None
    assert (group.gateway.port, group.gateway.types[0], group.gateway.market) == (8000, "t3.nano", ("on-demand",))
    assert (group.hosts.through, group.hosts.keep.daily) == ("gateway", 14)


SECOND = '[[repository]]\nname = "{}"\npassword = "env:X"\nlocation = "s3:http://127.0.0.1:9000/{}"\n'
MISTAKES = [
    ("unknown key", GOOD.replace("grace =", "gracee ="), ":9 repository[web].gracee: unknown key; expected `grace`"),
    ("unknown section", GOOD.replace("[group.", "[groop."), ":3 groop: unknown section; expected `group`"),
    ("bad URL", GOOD.replace("s3:http://127", "s3:ftp://127"), "repository[web].location"),
    ("no s3", GOOD.replace("s3:http://127.0.0.1:9000/backups/web", "/srv/restic"), "restic's form"),
    ("no host", GOOD.replace("s3:http://127.0.0.1:9000/backups/web", "s3:backups/web"), "s3:https://s3.amazonaws.com/backups/web"),
    ("credentials", GOOD.replace("s3:http://127", "s3:http://a:b@127"), "a URL with credentials in it"),
    ("same place", GOOD + SECOND.format("db", "backups/web"), "the same place as repository 'web'"),
    ("inside", GOOD + SECOND.format("db", "backups/web/db"), "lie one inside the other"),
    ("same name", GOOD + SECOND.format("web", "backups/db"), "a second repository 'web'"),
    (
        "state is a repository's",
        GOOD + SECOND.format("db", "x-state/prod").replace("http://127.0.0.1:9000/x", "https://s3.amazonaws.com/acme"),
        "state.location",
    ),
    ("no password source", GOOD.replace("file:/etc/maintainer/web", "hunter2"), "no source of a secret"),
    ("relative password file", GOOD.replace("file:/etc", "file:etc"), "an incomplete source of 'file'"),
    ("bad duration", GOOD.replace('"36h"', '"36 hours"'), "a duration such as"),
    ("a KMS alias", GOOD.replace("grace", 'kms_key = "alias/mine"\ngrace'), "not its alias"),
    ("number for text", GOOD.replace('"36h"', "36"), "text in quotes"),
    ("negative", GOOD.replace("daily = 14", "daily = -2"), "at least -1"),
    ("missing", GOOD.replace('password = "file:/etc/maintainer/web"\n', ""), "repository[web].password: it is missing"),
    ("single brackets", GOOD.replace("[[repository]]", "[repository]"), "double the brackets"),
    ("unknown group", GOOD.replace("grace", 'group = "server"\ngrace'), "rename it to `servers`"),
    ("less than the floor", GOOD.replace("daily = 14", "daily = 2\nlast = 1"), ":13 repository[web].keep: a policy that keeps 2 snapshots"),
    ("tags alone", GOOD.replace("daily = 14\n", ""), "keeps nothing but tagged snapshots; expected one that keeps the 3 that always stay"),
    ("share", GOOD.replace("grace", "share = 0\ngrace"), "more than 0"),
    ("share", GOOD.replace("grace", "share = 50\ngrace"), "at most 1"),
    ("no floor", GOOD.replace("grace", "at_least = 0\ngrace"), "at least 1"),
    ("kept until when", GOOD.replace("grace", 'keep_until = "31.12.2031"\ngrace'), "a date such as 2031-12-31"),
    ("reading", GOOD.replace("grace", 'read_data = "nwe"\ngrace'), "'always' or 'new'"),
    ("rereading", GOOD.replace("grace", 'reread = "60d"\ngrace'), "repository[web].reread: a time where every check reads everything"),
    ("expect", GOOD.replace("paths =", 'every = "daily"\npaths ='), "repository[web].expect.every"),
    (
        "one of several",
        GOOD.replace("[repository.expect]", "[[repository.expect]]").replace("paths", "path"),
        "repository[web].expect.path: unknown",
    ),
    ("compute", GOOD.replace('"local"', '"lambda"'), "'local'"),
    ("ssh without a machine", GOOD.replace('"local"', '"ssh"'), "address, host_key and key\n    → add it: docs/machines.md shows one"),
    ("no host key", GOOD + MACHINE.replace("ssh-ed25519 AAAA", "ssh-rsa AAAA"), "ssh_host_ed25519_key.pub on the machine itself"),
    ("a builder without a place", GOOD + '[builder]\nimage = "ami-1"\n', "builder.subnets"),
    ("a droplet without its section", GOOD.replace('"local"', '"digitalocean"'), "image, image_digest, regions and credentials"),
    (
        "no account",
        GOOD.replace('"local"', '"digitalocean"') + "[group" + DROPLET.format(DIGEST).partition("[group")[2],
        "no [digitalocean]",
    ),
    (
        "a password that a droplet can not read",
        GOOD.replace('"local"', '"digitalocean"') + DROPLET.format(DIGEST),
        "repository[web].password: a source on this machine (file:)",
    ),
    ("a token itself", GOOD + DROPLET.format(DIGEST).replace("file:/etc", "dop_v1_0123"), "digitalocean.token: no source of a secret"),
    (
        "a token without TLS",
        GOOD + DROPLET.format(DIGEST).replace("[group", 'endpoint = "http://api.example.com"\n[group'),
        "a token is sent there: use TLS",
    ),
    ("a VPC in two regions", GOOD + DROPLET.format(DIGEST) + 'vpc = "v"\n', "servers.droplet.vpc: a VPC beside several regions"),
    ("an image's name", GOOD + DROPLET.format(DIGEST).replace("152601987", '"maintainer"'), "servers.droplet.image"),
    ("the key itself", GOOD + MACHINE.replace("file:/etc", "-----BEGIN"), "servers.machine.key: no source of a secret"),
    (
        "passwords that another machine can not read",
        GOOD.replace('"local"', '"ssh"') + MACHINE + HOSTS.format("file:/x", "s3"),
        "servers.hosts.passwords: a folder on this machine (file:/x)",
    ),
    ("hosts without their gateway", GOOD + HOSTS.format("file:/x", "gateway"), "servers.hosts.through: no [group.servers.gateway]"),
    (
        "passwords that an instance can not read",
        GOOD.replace('"local"', '"ec2"').replace("file:/etc", "ssm:/etc") + HOSTS.format("file:/x", "s3"),
        "servers.hosts.passwords: a folder on this machine (file:/x)",
    ),
    ("a password itself", GOOD + HOSTS.format("hunter2", "s3"), "below which each repository's password has its name"),
    (
        "another architecture's image without its digest",
        GOOD
        + GATEWAY.format("servers", "b.example.com", "acme-backups", DIGEST)
        + '[[group.servers.gateway.also]]\nimage = "ami-2"\ntypes = ["t4g.nano"]\n',
        "gateway.also.image_digest",
    ),
    (
        "a limit that nothing keeps",
        GOOD + GATEWAY.format("servers", "b.example.com", "acme-backups", DIGEST) + 'launch = "run-instances"\nmax_price = 0.08\n',
        'gateway.max_price: a limit that launch = "run-instances" has for spot alone',
    ),
    ("a gateway without TLS", GOOD + GATEWAY.format("servers", "http://b.example.com", "b", DIGEST), "there is TLS always"),
    ("no certificate", GOOD + GATEWAY.format("servers", "b", "b", DIGEST) + 'tls = ""\n', "no parameter; expected a source"),
    ("a gateway to the state", GOOD + GATEWAY.format("servers", "b", "acme-state", DIGEST), "leads to the state store"),
    (
        "two gateways to one place",
        GOOD.replace("grace", 'group = "servers"\ngrace')
        + '[group.other]\ncompute = "local"\n'
        + GATEWAY.format("servers", "b", "hosts", DIGEST)
        + GATEWAY.format("other", "c", "hosts/other", DIGEST),
        "what the gateway of group 'servers' serves, too",
    ),
    ("not TOML", GOOD.replace('"web"', '"web'), "valid TOML"),
    ("no state", GOOD.replace("location =", "#", 1), "state.location: it is missing"),
]


@pytest.mark.parametrize(("text", "says"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_a_mistake_is_explained(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert says in str(refused.value)
    assert "→" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.exit_code == 2


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace('compute = "local"', "").replace('"36h"', "1").replace("daily", "dayly")
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, text)
    assert [p.where.partition(" ")[2] for p in refused.value.problems] == [
        "group.servers.compute",
        "repository[web].grace",
        "repository[web].keep.dayly",
    ]


def test_a_misspelt_key_is_one_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, GOOD.replace("password =", "pasword =", 1))
    (problem,) = caught.value.problems
    assert problem.expected == "`password`"


@pytest.mark.parametrize("text", ["99999999999d", "9" * 29 + "h", "36501d", "36500d1m", "\u0661d"])
def test_a_duration_that_no_calendar_holds_is_a_mistake_with_its_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path, GOOD.replace('"36h"', f'"{text}"'))
    (problem,) = refused.value.problems
    assert re.search(r":\d+ repository\[web\]\.grace", problem.where)


def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load(tmp_path / "none.toml")


def test_a_repository_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="did you mean `web`"):
        read(tmp_path, GOOD).chosen(["webb"], [])


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "maintainer.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(path).repositories
