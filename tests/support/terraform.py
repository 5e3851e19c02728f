"""Terraform as its users run it, on a copy of the tree: init, plan, apply, output, destroy, against a sandbox."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maintainer.sandbox.daemon import Sandbox
from tests.support.instances import Fleet

TREE = Path(__file__).parents[2] / "terraform"
LIMIT_S = 240


@dataclass(frozen=True)
class Root:
    """One root module in a copy of the tree, with its own state."""

    directory: Path
    environment: dict[str, str]

    @classmethod
    def with_machines(cls, root: str, directory: Path, fleet: Fleet, **variables: str) -> Root:
        """Initialise a root whose instances are machines of a sandbox: on loopback, behind the port that all of them have."""
        made = {"image_id": fleet.plant.image_id, "image_digest": fleet.plant.digest, "ssh_port": str(fleet.plant.ssh_port)}
        return cls.of(root, directory, fleet.sandbox, name="acme", s3_endpoint=fleet.sandbox.endpoint, **made, **variables)

    @classmethod
    def of(cls, root: str, directory: Path, sandbox: Sandbox, **variables: str) -> Root:
        """Copy the tree, and initialise `root`, such as examples/minimal; it acts as the storage administrator.

        Of `variables` lists and objects are given as JSON.
        """
        shutil.copytree(TREE, directory, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"), dirs_exist_ok=True)
        key = sandbox.credentials["admin"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_"))}
        own = {
            "TF_CLI_CONFIG_FILE": f"{sys.prefix}/terraform.rc",
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
            "AWS_ENDPOINT_URL": sandbox.endpoint,
            "AWS_REGION": sandbox.region,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        }
        if sandbox.ec2_endpoint:
            own["AWS_ENDPOINT_URL_EC2"] = sandbox.ec2_endpoint
            own["AWS_ENDPOINT_URL_CLOUDWATCH"] = sandbox.ec2_endpoint  # the other reads alarms back without half of what they are
        made = cls(directory / root, kept | own | {f"TF_VAR_{name}": value for name, value in variables.items()})
        made.must("init", "-input=false")
        return made

    def call(self, *words: str) -> tuple[int, str]:
        """Run a command of Terraform's; return its exit code and all that it said."""
        ran = subprocess.run(
            ["terraform", *words, "-no-color"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return ran.returncode, ran.stdout

    def must(self, *words: str) -> str:
        """Run a command that has to succeed; return what it said."""
        code, said = self.call(*words)
        assert code == 0, f"terraform {' '.join(words)}: {said}"
        return said

    def apply(self) -> str:
        """Make what is written so."""
        return self.must("apply", "-auto-approve", "-input=false")

    def drift(self) -> str:
        """Return what a plan would change, and nothing where that is nothing."""
        code, said = self.call("plan", "-input=false", "-detailed-exitcode")
        assert code in {0, 2}, said
        return said if code == 2 else ""

    def take_down(self) -> None:
        """Destroy all but the backups, by the commands of the README."""
        section = (TREE / "README.md").read_text(encoding="utf-8").partition("## Taking it down")[2]
        forget, destroy = section.split("```\n")[1].splitlines()
        subprocess.run(
            ["bash", "-o", "pipefail", "-c", forget],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            timeout=LIMIT_S,
            check=True,
        )
        assert destroy == "terraform destroy"
        self.must("destroy", "-auto-approve")
        assert self.addresses() == []

    def outputs(self) -> dict[str, Any]:
        """Return the outputs' values."""
        return {name: entry["value"] for name, entry in json.loads(self._plain("output", "-json")).items()}

    def addresses(self) -> list[str]:
        """Return what the state holds, data sources aside."""
        return [line for line in self._plain("state", "list").splitlines() if ".data." not in line and not line.startswith("data.")]

    def _plain(self, *words: str) -> str:
        return subprocess.run(
            ["terraform", *words], cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S, check=True
        ).stdout
