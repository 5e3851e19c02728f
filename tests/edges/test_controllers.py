"""Whether the process that launched an instance is known to be dead."""

from __future__ import annotations

import subprocess
import sys

from maintainer.edges.compute.controllers import here, is_dead

NAME = "from maintainer.edges.compute.controllers import here; print(here(), flush=True); input()"


def test_a_process_is_alive_until_it_ends() -> None:
    assert not is_dead(here())
    with subprocess.Popen([sys.executable, "-c", NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert not is_dead(name)
        other.kill()
    assert is_dead(name)


def test_another_process_with_its_id_is_another() -> None:
    assert is_dead(here() + "1")


def test_of_another_machine_or_an_unreadable_name_nothing_is_known() -> None:
    boot, rest = here().split("/", 1)
    for name in (f"{boot[::-1]}/{rest}", "", "/", "///", "nonsense", f"{boot}/1/x/2"):
        assert not is_dead(name)
