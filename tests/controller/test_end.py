"""However a run ends, no machine is left after the next sweep or run, and no good snapshot is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest

from maintainer.agent.notices import EVERY_S
from maintainer.core.events import decode
from maintainer.core.job import Access, Job, Place
from maintainer.edges import userdata
from maintainer.edges.clock import SystemClock
from maintainer.edges.ssh import generate_key
from maintainer.sandbox import daemon, processes
from tests.support.agents import UNGUARDED
from tests.support.instances import Fleet, agents_of, shown
from tests.support.matrices import Rows
from tests.support.patience import PATIENCE_S, until
from tests.support.repositories import Repository


def follow_to(process: subprocess.Popen[str], event: str, step: str | None = None) -> list[str]:
    """Read a run's events up to one of this name; return the names."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        read = json.loads(line)
        if read["event"] == event and step in (None, read["step"]):
            return [json.loads(one)["event"] for one in lines]
    raise AssertionError("\n".join((f"no {event}", *lines, *process.communicate())))


def rest_of(process: subprocess.Popen[str]) -> str:
    """Return what a run writes to its end: `communicate` would lose the lines that were read ahead of the last that was looked at."""
    assert process.stdout is not None
    said = process.stdout.read()
    process.wait(PATIENCE_S)
    return said


def settled(park: Fleet, name: str, repository: Repository) -> None:
    """Nothing is left, the next run commits, and the good snapshot is whole."""
    park.nothing_is_left()
    code, events = park.run("--repository", name)
    assert code == 0, shown(events)
    assert "run.committed" in [event.event for event in events]
    repository.verify(next(iter(repository.trees)))
    park.nothing_is_left()


def nothing_is_lost(park: Fleet, name: str, repository: Repository) -> None:
    """After attacks the next run commits, the one after it has nothing to say, and every snapshot is whole."""
    code, events = park.run("--repository", name)
    assert code in (0, 3), shown(events)
    assert park.run("--repository", name)[0] == 0
    for snapshot in repository.trees:
        repository.verify(snapshot)
    park.nothing_is_left()


@pytest.mark.matrix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_agent_in_order_and_then_the_machine(park: Fleet, number: signal.Signals, code: int) -> None:
    name = f"signal{number}"
    repository = park.repository(name, fast=False)
    process = park.start("run", "--once", "--json", "--repository", name)
    agent = park.hold_agent("check")  # however slow its controller is, it has not committed
    follow_to(process, "instance.reached")
    process.send_signal(number)
    agent.wait_for_wish("stop")
    agent.let_go()
    names = follow_to(process, "instance.terminated")
    assert "run.signalled" in names
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code
    settled(park, name, repository)


@pytest.mark.long
def test_a_notice_of_ec2_ends_the_run_in_order_and_another_machine_does_what_is_left(park: Fleet) -> None:
    done, left = park.repository("done"), park.repository("left", fast=False)
    process = park.start("run", "--once", "--json")
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if json.loads(line)["event"] == "repository.finished":
            break
    agent = park.hold_agent("check")
    (first,) = park.machines()
    park.notice(first, "instance-action", {"action": "terminate", "time": "2026-11-27T12:02:00Z"})
    time.sleep(EVERY_S)  # it looks at once when it is let go
    agent.let_go()
    lines += process.stdout
    process.communicate(timeout=PATIENCE_S)
    events = [decode(line) for line in lines]
    assert process.returncode == 0, shown(events)
    names = [event.event for event in events]
    assert names.count("instance.launched") == names.count("instance.terminated") == 2
    assert names.index("interruption.noticed") < names.index("run.interrupted") < names.index("instance.terminated")
    assert (
        names.index("instance.terminated")
        < names.index("attempt.started")
        < names.index("instance.launched", names.index("run.interrupted"))
    )
    (again,) = [event for event in events if event.event == "attempt.started"]
    assert again.fields["repositories"] == ["left"]
    assert [event.repository for event in events if event.event == "run.committed"] == ["done", "left"]
    settled(park, "left", left)
    done.verify(next(iter(done.trees)))
    code, output, _ = park.call("logs", events[0].run_id, "--repository", "left")
    assert code == 0
    assert "EC2 takes the instance back" in output
    assert "committed" in output


def test_a_second_ctrl_c_does_not_wait_for_the_agent(park: Fleet) -> None:
    repository = park.repository("hurry", fast=False)
    process = park.start("run", "--once", "--json", "--repository", "hurry")
    follow_to(process, "instance.launched")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    settled(park, "hurry", repository)


def test_kill_9_of_the_controller_leaves_a_machine_that_sweep_names_and_ends(park: Fleet) -> None:
    repository = park.repository("swept")
    process = park.start("run", "--once", "--json", "--repository", "swept")
    follow_to(process, "instance.reached")
    process.send_signal(signal.SIGSTOP)  # alive, and slower than the agent
    (left,) = [one["InstanceId"] for one in park.instances()]
    code, output, _ = park.call("sweep", "--dry-run")
    assert (code, output) == (0, "nothing was left behind\n")
    process.kill()
    process.wait()
    code, output, _ = park.call("sweep", "--dry-run", "--json")
    assert [one["id"] for one in json.loads(output)] == [left]
    assert park.call("sweep", "--dry-run")[1].startswith(f"{left} of run ")
    assert park.instances()
    assert left in park.call("sweep")[1]
    settled(park, "swept", repository)


def test_kill_9_of_the_controller_is_settled_by_the_next_run(park: Fleet) -> None:
    repository = park.repository("next")
    process = park.start("run", "--once", "--json", "--repository", "next")
    follow_to(process, "step.started", "check")
    process.kill()
    process.wait()
    code, events = park.run("--repository", "next")
    assert code == 0, shown(events)
    assert "orphan.ended" in [event.event for event in events]
    park.nothing_is_left()
    repository.verify(next(iter(repository.trees)))


def test_sweep_leaves_other_owners_and_other_machines_controllers_alone(park: Fleet) -> None:
    ec2 = park.plant.client("ec2")

    def launch(owner: str, deadline: str) -> str:
        tags = {"maintainer:owner": owner, "maintainer:deadline": deadline, "maintainer:controller": "another/1/2/3"}
        specification = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}]
        answer = ec2.run_instances(
            ImageId=park.plant.image_id, MinCount=1, MaxCount=1, SubnetId=park.plant.subnets[0], TagSpecifications=specification
        )
        return str(answer["Instances"][0]["InstanceId"])

    mine = f"s3://{park.sandbox.state_bucket}/{park.prefix}sandbox"
    past, future = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
    late, theirs, foreign = launch(mine, past), launch(mine, future), launch("someone", past)
    park.call("sweep")
    assert {one["InstanceId"] for one in park.instances()} == {theirs, foreign}
    assert late in {one["InstanceId"] for one in park.instances(living=False)}
    park.call("sweep", "--all")
    assert {one["InstanceId"] for one in park.instances()} == {foreign}
    ec2.terminate_instances(InstanceIds=[foreign])
    park.nothing_is_left()


def test_a_machine_that_dies_is_lost_and_another_does_what_is_left(park: Fleet) -> None:
    repository = park.repository("dies")
    process = park.start("run", "--once", "--json", "--repository", "dies")
    follow_to(process, "step.started", "admit")
    (machine,) = park.machines()
    processes.signal_holder(park.directory / "machines" / machine / "lock", signal.SIGKILL)
    output, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    lost = [json.loads(line) for line in output.splitlines() if json.loads(line)["event"] == "agent.lost"]
    assert lost[0]["last_words"].startswith("the instance has ended by itself")
    (again,) = [one for line in output.splitlines() if (one := json.loads(line))["event"] == "attempt.started"]
    assert again["repositories"] == ["dies"]
    settled(park, "dies", repository)


def test_the_hypervisor_s_death_costs_the_run_nothing(park: Fleet) -> None:
    repository = park.repository("hypervisor")
    process = park.start("run", "--once", "--json", "--repository", "hypervisor")
    follow_to(process, "instance.reached")
    processes.signal_holder(park.directory / "hypervisor.lock", signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    daemon.start(park.directory, SystemClock())
    assert process.returncode == 0
    settled(park, "hypervisor", repository)


def test_the_power_off_timer_needs_nobody(park: Fleet) -> None:
    bare(park, 4)
    until(lambda: bool(park.machines()))
    park.nothing_is_left()


def bare(park: Fleet, deadline_s: int) -> str:
    """Launch an instance with a run's user data whose agent has nothing to do; return its id."""
    job = Job("r", Access(), Place("b"), ())
    data = userdata.render(job.encode(), host_key=generate_key(), login_key=generate_key().public, deadline_s=deadline_s)
    answer = park.plant.client("ec2").run_instances(
        ImageId=park.plant.image_id, MinCount=1, MaxCount=1, SubnetId=park.plant.subnets[0], UserData=data
    )
    return str(answer["Instances"][0]["InstanceId"])


def test_an_instance_that_boots_a_second_time_powers_off(park: Fleet) -> None:
    name = bare(park, 3600)
    until(lambda: "exit" in park.inside(name, "ls", "/run/maintainer"))
    os.kill(park.state_of(name).init, signal.SIGINT)  # ctrl-alt-delete: it boots again
    park.nothing_is_left()


def test_the_deadline_and_the_agent_are_units_where_systemd_is_pid_1_and_sessions_of_their_own_elsewhere(park: Fleet) -> None:
    name = bare(park, 3600)
    until(lambda: "exit" in park.inside(name, "ls", "/run/maintainer"))
    if park.state_of(name).group:
        listed = park.inside(name, "systemctl", "list-units", "--no-legend", "--plain", "maintainer-*")
        assert [line.split()[:3:2] for line in listed.splitlines()] == [
            ["maintainer-agent.service", "active"],
            ["maintainer-deadline.timer", "active"],
        ]
    else:
        listed = park.inside(name, "ps", "-e", "-ww", "-o", "sid=,pid=,args=")
        leaders = [line.split(maxsplit=2)[2] for line in listed.splitlines() if line.split()[0] == line.split()[1]]
        assert "sh -c sleep 3600; poweroff" in leaders
        assert [line for line in leaders if line.endswith("/opt/maintainer/bin/maintainer-agent run")], listed
    park.plant.client("ec2").terminate_instances(InstanceIds=[name])
    park.nothing_is_left()


@pytest.mark.long
@pytest.mark.matrix
@pytest.mark.parametrize("killed", ["machine", "controller"])
def test_attack_18_killed_at_each_step_every_good_snapshot_stays(park: Fleet, killed: str, rows: Rows) -> None:
    repository = park.repository("killed", more=f"{UNGUARDED}[repository.keep]\nlast = 1\n")
    repository.write("another", 150_000, 99)
    repository.backup()
    assert park.run("--repository", "killed")[0] == 0
    steps = ("survey", "revert", "admit", "forget", "prune", "check", "commit", "mark")
    for number, step in enumerate(rows.of("steps to be killed at", steps, lambda step: step in ("commit", "mark"))):
        packs = repository.objects("data/")
        repository.put(packs[number % len(packs)], b"garbage")
        process = park.start("run", "--once", "--json", "--repository", "killed")
        follow_to(process, "step.started", step)
        if killed == "machine":
            kill_machine(park, process)
            output = rest_of(process)
            closed = [one["exit_code"] for line in output.splitlines() if (one := json.loads(line))["event"] == "run.closed"]
            # The last steps may be over by then: what has said how it ended is not done again.
            lost, again, done = (f'"{name}"' in output for name in ("agent.lost", "attempt.started", "repository.finished"))
            assert lost == again or (done and step in ("commit", "mark")), (step, output)
            assert lost or step == "mark", (step, closed)
            assert closed[-1] in (0, 3), (step, closed)
            assert process.returncode == closed[-1]
        else:
            kill_controller(park, process)
            process.communicate()
            park.call("sweep")
        park.nothing_is_left()
    nothing_is_lost(park, "killed", repository)


def kill_agent(park: Fleet, _: subprocess.Popen[str]) -> None:
    for machine in park.machines():
        for pid in agents_of(park.state_of(machine).init):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def kill_machine(park: Fleet, _: subprocess.Popen[str]) -> None:
    for machine in park.machines():
        processes.signal_holder(park.directory / "machines" / machine / "lock", signal.SIGKILL)


def kill_controller(_: Fleet, controller: subprocess.Popen[str]) -> None:
    controller.kill()


KILLS, ALL_KILLS = 2, 6
"""More of them find more; a suite must end."""


@pytest.mark.long
def test_a_kill_at_any_moment_leaves_no_machine_after_the_next_sweep_and_costs_no_good_snapshot(park: Fleet, rows: Rows) -> None:
    chance = random.Random(rows.seed)
    repository = park.repository("anytime", more=f"{UNGUARDED}[repository.keep]\nlast = 1\n")
    repository.write("another", 150_000, 99)
    repository.backup()
    started = time.monotonic()
    assert park.run("--repository", "anytime")[0] == 0
    length = time.monotonic() - started
    for _ in range(ALL_KILLS if rows.everything else KILLS):
        repository.put(chance.choice(repository.objects("data/")), b"garbage")
        process = park.start("run", "--once", "--json", "--repository", "anytime")
        moment = chance.uniform(0, length)
        kill = chance.choice((kill_agent, kill_machine, kill_controller))
        print(f"{kill.__name__} after {moment:.2f} of {length:.2f} s")
        with suppress(subprocess.TimeoutExpired):
            process.wait(moment)
        kill(park, process)
        output, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, 3, 4, 5, 6, -9), output + errors
        assert "Traceback" not in errors
        park.call("sweep")
        park.nothing_is_left()
    nothing_is_lost(park, "anytime", repository)
