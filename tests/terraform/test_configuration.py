"""The module that writes maintainer.toml: what is said to it is what a run is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from maintainer.sandbox.daemon import Sandbox
from maintainer.settings.load import parse
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


def test_what_is_said_of_single_repositories_reaches_them(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "terraform" / "one").mkdir(parents=True)
    (tmp_path / "terraform" / "one" / "main.tf").write_text(CALL)
    root = Root.of("one", tmp_path / "terraform", sandbox)
    root.must("apply", "-auto-approve", "-input=false")
    read = {one.name: one for one in parse(root.must("output", "-raw", "text"), Path("maintainer.toml")).repositories}
    assert {name: one.keep_until for name, one in read.items()} == {"db": "for ever", "old": "2031-12-31", "web": ""}
    assert [(one.host, one.paths, one.every) for one in read["web"].expect] == [("web1", ("/srv",), timedelta(days=1))]
    assert (read["old"].keep.daily, read["old"].keep.weekly) == (30, 0)
