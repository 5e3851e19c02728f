"""The module that writes maintainer.toml: what is said to it is what a run is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from maintainer.sandbox.daemon import Sandbox
from maintainer.settings.load import Settings, parse
from tests.support.terraform import Root

CALL = """
module "configuration" {
  source             = "../modules/configuration"
  region             = "eu-central-1"
  state_location     = "s3:https://s3.amazonaws.com/acme-state/prod"
  groups             = [{ name = "servers", compute = "local", repositories = {
    for name in ["db", "old", "web"] : name => {
      location = "s3:https://s3.amazonaws.com/acme-backups/${name}", password = "ssm:/maintainer/${name}", kms_key = null
    }
  } }]
  expect             = { web = { host = "web1", paths = ["/srv"], every = "1d" } }
  keep_until         = { old = "2031-12-31", db = "for ever" }
  keep_by_repository = { old = { daily = 30 } }
}

output "text" { value = module.configuration.maintainer_toml }
"""


def applied(sandbox: Sandbox, tmp_path: Path, call: str) -> Settings:
    """Return the configuration that a call of the module writes."""
    (tmp_path / "terraform" / "one").mkdir(parents=True)
    (tmp_path / "terraform" / "one" / "main.tf").write_text(call)
    root = Root.of("one", tmp_path / "terraform", sandbox)
    root.must("apply", "-auto-approve", "-input=false")
    return parse(root.must("output", "-raw", "text"), Path("maintainer.toml"))


def test_what_is_said_of_single_repositories_reaches_them(sandbox: Sandbox, tmp_path: Path) -> None:
    read = {one.name: one for one in applied(sandbox, tmp_path, CALL).repositories}
    assert {name: one.keep_until for name, one in read.items()} == {"db": "for ever", "old": "2031-12-31", "web": ""}
    assert [(one.host, one.paths, one.every) for one in read["web"].expect] == [("web1", ("/srv",), timedelta(days=1))]
    assert (read["old"].keep.daily, read["old"].keep.weekly) == (30, 0)


LAUNCHED = """
module "configuration" {
  source         = "../modules/configuration"
  region         = "eu-central-1"
  state_location = "s3:https://s3.amazonaws.com/acme-state/prod"
  expect         = {}
  groups = [for name, endpoint in { inside = null, outside = "eice-0123" } : {
    name    = name
    compute = "ec2"
    instance = {
      image = "ami-0123456789abcdef0", image_digest = "DIGEST", instance_profile = "p", subnets = ["subnet-1"], security_groups = ["sg-1"]
      types = ["m5.large"], market = ["spot"], max_price = endpoint == null ? 0 : 0.08, ssh_port = 22, launch_template = "lt-1"
      instance_connect_endpoint = endpoint
    }
    repositories = { (name) = { location = "s3:https://s3.amazonaws.com/acme-backups/${name}", password = "ssm:/maintainer/${name}" } }
  }]
}

output "text" { value = module.configuration.maintainer_toml }
""".replace("DIGEST", "d" * 64)


def test_a_controller_inside_the_network_needs_no_endpoint_and_one_outside_gets_it(sandbox: Sandbox, tmp_path: Path) -> None:
    groups = {one.name: one.instance for one in applied(sandbox, tmp_path, LAUNCHED).groups}
    said = {name: (one.instance_connect_endpoint, one.max_price) for name, one in groups.items() if one is not None}
    assert said == {"inside": ("", 0), "outside": ("eice-0123", 0.08)}
