"""The installed command says which release it is."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path


def test_the_command_names_its_version() -> None:
    command = Path(sys.executable).with_name("maintainer")
    printed = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert printed == f"maintainer {version('maintainer')}\n"
