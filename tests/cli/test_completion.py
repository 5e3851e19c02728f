"""Completions as a shell uses them."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.patience import PATIENCE_S

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


class Terminal:
    """A shell at work on a terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def type(self, keys: str) -> None:
        os.write(self._descriptor, keys.encode())

    def read_to(self, word: str) -> str:
        """Return what is shown, up to a word."""
        shown = ""
        deadline = time.monotonic() + PATIENCE_S
        while word not in shown:
            assert time.monotonic() < deadline, f"no {word!r} in {shown!r}"
            if select.select([self._descriptor], [], [], 0.1)[0]:
                shown += os.read(self._descriptor, 4096).decode(errors="replace")
        return shown


@contextmanager
def shell(*argv: str, **environment: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    given = {"PATH": os.environ["PATH"], "HOME": "/", **environment}
    process = subprocess.Popen(argv, env=given, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def test_zsh_completes_with_descriptions() -> None:
    prefix = Path(sys.prefix)
    functions = ":".join(str(path) for path in (prefix / "share/zsh/functions").rglob("*") if path.is_dir())
    with shell(str(prefix / "bin/zsh-static"), "-f", "-i", FPATH=functions, TERM="dumb") as terminal:
        terminal.type(f'autoload -U compinit; compinit -u -D; eval "$({COMMAND} completion zsh)"; PS1=its""turn\n')
        terminal.read_to("itsturn")  # the prompt: before it a key is not a key yet
        terminal.type("maintainer sandbox st\t\t")
        terminal.read_to("end it, and remove all it holds")
        terminal.type("\x15maintainer sweep --dr\t")
        terminal.read_to("--dry-run")


def test_fish_completes_with_descriptions() -> None:
    prefix = Path(sys.prefix)
    script = f"{COMMAND} completion fish | source; complete -C 'maintainer sandbox st'; complete -C 'maintainer sweep --dr'"
    environment = {"PATH": os.environ["PATH"], "HOME": "/", "LD_LIBRARY_PATH": str(prefix / "lib")}
    done = subprocess.run([prefix / "bin/fish", "--no-config", "-c", script], env=environment, capture_output=True, text=True, check=True)
    shown = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    assert shown["stop"] == "end it, and remove all it holds"
    assert {"start", "stop", "status", "--dry-run"} <= set(shown)


def test_tcsh_completes(tmp_path: Path) -> None:
    (tmp_path / "completions").write_text(
        subprocess.run([COMMAND, "completion", "tcsh"], capture_output=True, text=True, check=True).stdout
    )
    with shell(str(Path(sys.prefix) / "bin/tcsh"), "-f", TERM="xterm") as terminal:
        terminal.type(f'set edit autolist; source {tmp_path}/completions; set prompt=its""turn\n')
        terminal.read_to("itsturn")
        terminal.type("maintainer sandbox st\x04")
        terminal.read_to("start  status stop")
        terminal.type("\x15maintainer sweep --dr\t")
        terminal.read_to("--dry-run")
