"""What people get wrong, and what they read then: every mistake of a plan at once, each with what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.terraform import Root

VALUES = """
module "repository" {
  source          = "../modules/repository"
  bucket          = "Acme_Backups"
  hosts           = { web = { prefix = "servers" }, db = { prefix = "servers/db" } }
  response_days   = 0
  storage_classes = ["STANDARD", "GLACIER"]
  kms_key_arn     = "alias/backups"
  object_lock     = { mode = "SOFT", days = 30 }
}

module "image" {
  source = "../modules/image"
  id     = "maintainer-latest"
  digest = "latest"
}

module "network" {
  source   = "../modules/network"
  cidr     = "10.83.0.0"
  buckets  = ["acme-backups"]
  ssh_from = ["0.0.0.0/0"]
}

module "controller" {
  source                = "../modules/controller"
  image                 = "acme/maintainer:latest"
  maintainer_toml       = ""
  repositories          = ["web"]
  state                 = { bucket = "acme-state", prefix = "prod" }
  maintenance_role_arns = []
  network               = { subnet_ids = ["subnet-1"], security_group_ids = [] }
  schedule              = "every night"
  alarm_days            = 30
}

module "configuration" {
  source         = "../modules/configuration"
  region         = "eu-central-1"
  state_location = "s3:https://s3.amazonaws.com/acme-state/prod"
  groups         = []
  keep           = { dayly = 2 }
  keep_until     = { web = "31.12.2031" }
}
"""
OF_VALUES = """
Acme_Backups is no bucket's name
two prefixes are the same, or one lies inside the other
response_days: at least 1
neither GLACIER nor DEEP_ARCHIVE
an alias can be pointed at another key later
mode is GOVERNANCE or COMPLIANCE
maintainer-latest is no image's id, so it pins nothing
digest: 64 hexadecimal digits
is no range of addresses that can be divided
ssh_from: IPv4 ranges of a network of yours
acme/maintainer:latest is not pinned
maintenance_role_arns: at least one
schedule: cron(17 3 * * ? *) or rate(1 day)
alarm_days: 1 to 7
are restic's rules: dayly
keep_until: a date such as 2031-12-31
no rule keeps three snapshots, which always stay
"""
TOGETHER = """
module "repository" {
  source              = "../modules/repository"
  bucket              = "acme-backups"
  hosts               = { web = {} }
  check_interval_days = 7
  response_days       = 30
  released_after_days = 14
  cross_account       = { servers = { role_arn = "arn:aws:iam::111122223333:role/x", hosts = ["mail"] } }
}

module "state" {
  source             = "../modules/state"
  bucket             = "acme-backups"
  repository_buckets = ["acme-backups"]
}

module "instance" {
  source       = "../modules/instance"
  group        = "servers"
  repositories = { web = { bucket = "acme-backups", prefix = "web", location = "s3:https://s3.amazonaws.com/acme-backups/web" } }
  state        = { bucket = "acme-backups", prefix = "prod" }
}
"""
OF_TOGETHER = """
14 is shorter than check_interval_days + response_days (7 + 30)
Raise it to 37 or more
each group names at least one of the hosts web, and no other
bucket: acme-backups holds repositories: a backup host could write into the ledger
state: acme-backups holds repositories: a backup host could write into the ledger
name the pinned image where compute is ec2
at least one subnet where compute is ec2
"""


@pytest.mark.parametrize(("wrong", "says"), [(VALUES, OF_VALUES), (TOGETHER, OF_TOGETHER)], ids=["alone", "together"])
def test_all_values_that_are_wrong_are_told_at_once_with_what_to_do(sandbox: Sandbox, tmp_path: Path, wrong: str, says: str) -> None:
    """First those that are wrong alone, then those that are wrong together: so Terraform judges them."""
    (tmp_path / "terraform" / "wrong").mkdir(parents=True)
    (tmp_path / "terraform" / "wrong" / "main.tf").write_text(wrong)
    code, said = Root.of("wrong", tmp_path / "terraform", sandbox).call("plan", "-input=false")
    assert code == 1
    plain = re.sub(r"\s+", " ", said)
    assert [line for line in says.strip().splitlines() if line not in plain] == [], said


def test_an_example_asks_for_what_it_needs(sandbox: Sandbox, tmp_path: Path) -> None:
    code, said = Root.of("examples/minimal", tmp_path / "terraform", sandbox).call("plan", "-input=false")
    assert (code, 'The root module input variable "name" is not set' in said) == (1, True), said
