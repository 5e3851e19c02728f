"""A machine that stays, as a user runs it: what goes wrong there is told, costs no good snapshot, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.controller.test_end import follow_to
from tests.support.instances import Fleet, agents_of, processes_of, shown
from tests.support.patience import PATIENCE_S, until
from tests.support.repositories import Repository
from tests.support.standing import Standing, standing

ANOTHER = f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{'M' * 43}"
"""A host key that no machine has."""


@dataclass
class Rack:
    """A configuration whose only group has a machine that stays, and one repository."""

    park: Fleet
    machine: Standing
    repository: Repository

    @property
    def init(self) -> int:
        return self.park.state_of(self.machine.id).init

    def agents(self) -> list[int]:
        return agents_of(self.init)

    def runs(self) -> list[str]:
        return self.park.inside(self.machine.id, "ls", "/home/maintainer/.local/state/maintainer/runs").split()

    def is_well(self) -> None:
        """The next run commits and leaves nothing, and the snapshot is whole."""
        code, events = self.park.run()
        assert code == 0, shown(events)
        assert "run.committed" in [event.event for event in events]
        self.repository.verify(next(iter(self.repository.trees)))
        assert self.runs() == []
        assert not self.agents()


@pytest.fixture
def rack(park: Fleet, tmp_path: Path) -> Iterator[Rack]:
    made = park.repository(fast=False)
    with standing(park, tmp_path) as machine:
        park.configure('compute = "ec2"', 'compute = "ssh"\n' + machine.section(park))
        yield Rack(park, machine, made)


def test_a_run_commits_there_and_no_secret_is_seen(rack: Rack) -> None:
    code, output, errors = rack.park.call("run", "--once")
    assert code == 0, output + errors
    assert f"on {rack.machine.address}; it ends by" in output
    console = (rack.park.directory / "machines" / rack.machine.id / "console.log").read_text(errors="replace") + output + errors
    for secret in (rack.repository.password, rack.machine.key.read_text().splitlines()[1]):
        assert secret not in console
    rack.is_well()


def test_kill_9_of_the_controller_is_named_by_sweep_and_settled_by_the_next_run(rack: Rack) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started")
    process.kill()
    process.wait(PATIENCE_S)
    assert rack.agents()
    code, output, _ = rack.park.call("sweep", "--dry-run", "--json")
    (named,) = json.loads(output)
    assert (code, named["kind"], named["group"], named["region"]) == (0, "run", "sandbox", rack.machine.address)
    assert named["why"] == "the controller that launched it is dead"
    assert rack.agents()
    rack.is_well()
    assert rack.park.call("sweep") == (0, "nothing was left behind\n", "")


def test_sweep_ends_what_a_dead_controller_left(rack: Rack) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started")
    process.kill()
    process.wait(PATIENCE_S)
    code, output, _ = rack.park.call("sweep")
    assert code == 0
    assert "the controller that launched it is dead" in output
    assert rack.runs() == []
    assert not rack.agents()
    rack.is_well()


def test_a_signal_ends_it_in_order(rack: Rack) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143
    assert rack.runs() == []
    rack.is_well()


def test_a_keeper_that_is_killed_is_lost_its_agent_is_ended_and_the_next_run_settles_it(rack: Rack) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started")
    (keeper,) = (
        pid for pid in processes_of(rack.init, b"keep") if b"maintainer.agent.command" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(keeper, signal.SIGKILL)
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    assert process.wait(PATIENCE_S) == 6
    (lost,) = (one for one in events if one["event"] == "agent.lost")
    assert lost["status"] == 255
    assert rack.runs() == []
    assert not rack.agents()
    rack.is_well()


@pytest.mark.matrix
@pytest.mark.parametrize("step", ["survey", "admit", "check"])
def test_a_machine_that_boots_again_in_the_middle_is_lost_and_the_next_run_settles_it(rack: Rack, step: str) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started", step)
    rack.park.inside(rack.machine.id, "reboot")
    assert process.stdout is not None
    events = [json.loads(line) for line in process.stdout]
    assert process.wait(PATIENCE_S) == 6
    (lost,) = (one for one in events if one["event"] == "agent.lost")
    assert lost["status"] == 255
    assert rack.runs() == []
    rack.is_well()


@pytest.mark.matrix
@pytest.mark.parametrize("step", ["survey", "revert", "admit", "freeze", "forget", "check", "commit", "mark"])
def test_an_agent_that_is_killed_at_a_step_costs_nothing_but_the_run(rack: Rack, step: str) -> None:
    process = rack.park.start("run", "--once", "--json")
    follow_to(process, "step.started", step)
    for agent in rack.agents():
        os.kill(agent, signal.SIGKILL)
    assert process.stdout is not None
    output = process.stdout.read()
    # The last two steps take some milliseconds: it may have ended before.
    assert process.wait(PATIENCE_S) in ({0, 6} if step in {"commit", "mark"} else {6}), output
    assert rack.runs() == []
    rack.is_well()


@pytest.mark.parametrize(
    ("found", "wanted", "code", "said"),
    [
        ("host_key = ", f'host_key = "{ANOTHER}" #', 6, "answered with another host key"),
        ("address = ", 'address = "127.0.0.1" #', 5, "the machine does not answer: 127.0.0.1 port"),
        ('user = "maintainer"', 'user = "root"', 2, "put this line into ~/.ssh/authorized_keys of root there: restrict,command="),
        ("\nkey = ", '\nkey = "file:/nowhere" #', 2, "the file /nowhere can not be read"),
    ],
)
def test_one_mistake_is_named_and_begins_nothing(rack: Rack, found: str, wanted: str, code: int, said: str) -> None:
    rack.park.configure("[group.sandbox.machine]\n", '[group.sandbox.machine]\nuser = "maintainer"\ntry_for = "0h"\n')
    text = Path(rack.park.sandbox.config).read_text()
    head, machine = text.split("[group.sandbox.machine]", 1)
    assert found in machine
    Path(rack.park.sandbox.config).write_text(f"{head}[group.sandbox.machine]{machine.replace(found, wanted, 1)}")
    status, output, errors = rack.park.call("run", "--once")
    assert said in output + errors
    assert status == code
    assert rack.runs() == []


def test_a_key_that_is_none_is_told_without_quoting_it(rack: Rack) -> None:
    rack.machine.key.write_text("hunter2")
    code, output, errors = rack.park.call("run", "--once")
    assert code == 2
    assert "expected an ed25519 key of OpenSSH without a passphrase" in output + errors
    assert "hunter2" not in output + errors


def test_another_version_there_is_named(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maintainer.edges.compute.sshcompute.__version__", "9.9.9")
    code, output, errors = rack.park.call("run", "--once")
    assert code == 2
    assert "and the controller 9.9.9: install the same on both" in output + errors
    until(lambda: rack.runs() == [])


def test_doctor_says_what_the_machine_lacks(rack: Rack, monkeypatch: pytest.MonkeyPatch) -> None:
    where = f"the machine at {rack.machine.address}"
    code, output, errors = rack.park.call("doctor")
    assert code == 0, output + errors
    assert f"{where}: restic: restic 0." in output
    monkeypatch.setattr("maintainer.cli.doctor.__version__", "9.9.9")
    rack.park.configure("[group.sandbox.machine]\n", '[group.sandbox.machine]\nrestic = "restic-of-mine"\n')
    code, output, _ = rack.park.call("doctor")
    assert code == 2
    assert f"UNFIT  {where}: restic: no restic-of-mine that runs" in output
    assert f"UNFIT  {where}: maintainer: " in output
    assert "install 9.9.9 there" in output
    rack.park.configure("port = ", "port = 1 #")
    code, output, _ = rack.park.call("doctor")
    assert code == 2
    assert "the machine does not answer" in output
