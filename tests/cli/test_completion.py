"""Completions as a shell uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = Path(sys.executable).with_name("maintainer")


def complete(words: str) -> set[str]:
    script = f"""
eval "$({COMMAND} completion bash)"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_maintainer maintainer "${{COMP_WORDS[-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_actions_and_options() -> None:
    assert {"status", "sweep", "serve", "sandbox"} <= complete("maintainer s")
    assert complete("maintainer sandbox st") == {"start", "stop", "status"}
    assert "--dry-run" in complete("maintainer sweep --d")
