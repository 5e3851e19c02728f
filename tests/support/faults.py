"""Faults of the instance and of EC2, made to happen in a sandbox: what becomes of the run, what it says, and how long until all is well again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from maintainer.core.errors import ExitCode
from maintainer.edges.clock import read_offset
from maintainer.edges.restic import OOM_SCORE
from maintainer.sandbox import daemon, imds, processes, refusals, snapshots, tunnels
from tests.support.instances import Fleet, agents_of, processes_of
from tests.support.patience import PATIENCE_S, until
from tests.support.repositories import Repository

IMPATIENT = (
    "from maintainer.edges.compute import instance; vars(instance).update({patience}); "
    "import sys; from maintainer.cli.main import main; sys.exit(main())"
)
"""The command, with less patience than five minutes for what never comes: the same decisions, sooner."""
AGENT, SSHD = "opt/maintainer/bin/maintainer-agent", "usr/sbin/sshd"
OTHER_KEY = f"#!/bin/sh\n[ -e /run/other ] || ssh-keygen -q -t ed25519 -N '' -f /run/other\nexec /{SSHD}-real -h /run/other \"$@\"\n"
NO_AGENT = (
    '#!/bin/sh\n[ "$1" = run ] && exit 1\n'
    "exec /opt/maintainer/bin/python3 -c 'import sys; from maintainer.agent.command import main; sys.exit(main())' \"$@\"\n"
)
"""What starts no agent, and lets whoever logs in follow."""
OK, HELD, NONE, LOST, USAGE = ExitCode.COMMITTED, ExitCode.NOT_COMMITTED, ExitCode.NO_INSTANCE, ExitCode.LOST, ExitCode.USAGE

Around = Callable[[Fleet], AbstractContextManager[None]]
Blow = Callable[[Fleet, "subprocess.Popen[str]"], None]


@dataclass(frozen=True)
class Fault:
    """One of them: what is `around` the run, or the `blow` that it gets `at` an event (and step); the exit code, and what is said."""

    name: str
    code: int
    says: str
    around: Around = lambda _: nullcontext()
    at: str = ""
    blow: Blow = lambda *_: None
    settings: str = ""
    kind: str = ""
    """What faults have in common of which a run of all tests takes one."""
    impatient: tuple[tuple[str, int], ...] = ()
    """Patiences of maintainer.edges.compute.instance, in seconds, for what never comes; see IMPATIENT."""

    def repository(self, park: Fleet) -> Repository:
        """Make a repository for it with two good snapshots; one whose restic takes long enough to be struck, where a step is."""
        made = park.repository("web", fast=not self.at.startswith("step."))
        made.write("another", 150_000, 99)
        made.backup()
        return made


@dataclass(frozen=True)
class Suffered:
    """What came of it: `again` says whether another run was needed; seconds from the fault to a committed run's end."""

    code: int
    output: str
    again: bool
    seconds: float


def suffer(park: Fleet, fault: Fault, repository: Repository, name: str) -> Suffered:
    """Let a run suffer a fault, and then, if it did not commit, a second one settle it. The caller looks at what is left."""
    if fault.settings:
        park.configure("[group.sandbox.instance]\n", f"[group.sandbox.instance]\n{fault.settings}\n")
    with fault.around(park):
        began = time.monotonic()
        words = ("run", "--once", "--json", "--repository", name)
        process = _start(park, fault.impatient, *words) if fault.impatient else park.start(*words)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if fault.at and fault.at in (f"{(read := json.loads(line))['event']}", f"{read['event']} {read['step']}"):
                began = time.monotonic()
                fault.blow(park, process)
                break
        lines.append(process.stdout.read())
        process.wait(PATIENCE_S)
    output = "".join(lines) + (process.stderr.read() if process.stderr else "")
    if fault.settings:
        park.configure(f"{fault.settings}\n", "")
    again = '"run.committed"' not in output
    if again:
        park.call("sweep")
        park.nothing_is_left()
        code, events = park.run("--repository", name)
        assert code in (0, 3), [event.event for event in events]
    return Suffered(process.returncode, output, again, time.monotonic() - began)


def _start(park: Fleet, impatient: tuple[tuple[str, int], ...], *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "MAINTAINER_CONFIG": park.sandbox.config}
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT.format(patience=dict(impatient)), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def _file(park: Fleet, name: str, text: str = "") -> Iterator[None]:
    file = park.directory / name
    file.write_text(text)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def ec2_says(**wishes: object) -> Around:
    """EC2 answers so; `all` stands for every action."""
    said = json.dumps({("*" if name == "all" else name): wish for name, wish in wishes.items()})
    return lambda park: _file(park, refusals.FILE, said)


def full(code: str) -> Around:
    """No pool of any market has room."""
    types = ("m7i.large", "m7a.large", "m6i.large", "m6a.large", "m5.large")
    return lambda park: _file(
        park, "capacity.json", json.dumps({f"{market} {kind}": code for market in ("spot", "on-demand") for kind in types})
    )


@contextmanager
def broken_program(park: Fleet, path: str, script: str | bytes) -> Iterator[None]:
    """Machines that boot meanwhile have another program in the place of one of theirs."""
    made = [park.directory / "seed" / layer / path for layer in ("systemd", "script")]
    for one in made:
        one.parent.mkdir(parents=True, exist_ok=True)
        one.write_bytes(script if isinstance(script, bytes) else script.encode())
        one.chmod(0o755)
    try:
        yield
    finally:
        for one in made:
            one.unlink()


@contextmanager
def another_host_key(park: Fleet) -> Iterator[None]:
    """Machines that boot meanwhile answer with a host key that is not their run's."""
    built = snapshots.find(park.directory, Path(park.plant.images), park.plant.image_id)
    assert built is not None
    real = (Path(built.layers[-1]) / SSHD).read_bytes()
    with broken_program(park, f"{SSHD}-real", real), broken_program(park, SSHD, OTHER_KEY):
        yield


def kill_machine(park: Fleet, _: subprocess.Popen[str]) -> None:
    for machine in park.machines():
        processes.signal_holder(park.directory / "machines" / machine / "lock", signal.SIGKILL)


def kill_controller(_: Fleet, controller: subprocess.Popen[str]) -> None:
    controller.kill()


def kill_agent(park: Fleet, _: subprocess.Popen[str]) -> None:
    for machine in park.machines():
        for pid in agents_of(park.state_of(machine).init):
            os.kill(pid, signal.SIGKILL)


def take_back(park: Fleet, process: subprocess.Popen[str]) -> None:
    """Give the notice of a spot interruption, and keep the step's restic from its end until it was seen."""
    (machine,) = park.machines()
    init = park.state_of(machine).init
    until(lambda: bool(processes_of(init, b"/bin/restic")))
    held = processes_of(init, b"/bin/restic")
    for pid in held:
        os.kill(pid, signal.SIGSTOP)

    def go_on() -> None:
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    threading.Timer(7, go_on).start()
    notice(park, process)


def notice(park: Fleet, _: subprocess.Popen[str]) -> None:
    """Give the notice of a spot interruption, whatever the run does."""
    for machine in park.machines():
        park.notice(machine, "instance-action", {"action": "terminate", "time": "2099-01-01T00:00:00Z"})


def fails(name: str, for_s: float = 0) -> Blow:
    """Let what a file of the sandbox stands for fail so long; 0: until the fault is over, as `without` says."""

    def fail(park: Fleet, _: subprocess.Popen[str]) -> None:
        file = park.directory / name
        file.touch()
        if for_s:
            mended = threading.Timer(for_s, partial(file.unlink, missing_ok=True))
            mended.daemon = True
            mended.start()

    return fail


def move_clock(park: Fleet, _: subprocess.Popen[str]) -> None:
    daemon.move_clock(park.directory, read_offset(park.directory / "clock") + 3600)


@contextmanager
def without(park: Fleet, name: str) -> Iterator[None]:
    """Take a file away at the end that a blow has left."""
    try:
        yield
    finally:
        (park.directory / name).unlink(missing_ok=True)


def kill_booting(park: Fleet, process: subprocess.Popen[str]) -> None:
    until(lambda: bool(park.machines()))
    kill_machine(park, process)


def kill_keeper(park: Fleet, _: subprocess.Popen[str]) -> None:
    """Kill what starts the agent on a machine, and the agent with it, as a kernel without memory may."""
    for machine in park.machines():
        init = park.state_of(machine).init
        for pid in (*processes_of(init, b"maintainer-agent"), *agents_of(init)):
            os.kill(pid, signal.SIGKILL)


def fill_disk(park: Fleet, _: subprocess.Popen[str]) -> None:
    """Leave no room where a machine keeps what is large."""
    (machine,) = park.machines()
    park.inside(machine, "mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "none", "/var/tmp")


def kill_restic(park: Fleet, _: subprocess.Popen[str]) -> None:
    """Kill the next restic, and make sure that it is the one which the kernel would kill for want of memory."""
    (machine,) = park.machines()
    init = park.state_of(machine).init
    found: list[int] = []

    def begun() -> bool:
        found.extend(processes_of(init, b"/bin/restic"))
        return bool(found)

    until(begun)
    assert int(Path(f"/proc/{found[0]}/oom_score_adj").read_text()) == OOM_SCORE
    os.kill(found[0], signal.SIGKILL)


def _killed_restic(step: str, code: int, says: str) -> Fault:
    name = f"restic is killed at {step}, as for want of memory"
    return Fault(name, code, says, at=f"step.started {step}", blow=kill_restic, kind="memory")


def _dies(step: str, says: str = '"attempt.started"') -> Fault:
    return Fault(f"the instance dies at {step}", OK, says, at=f"step.started {step}", blow=kill_machine, kind="death")


def _noticed(step: str, *, quietly: bool = False) -> Fault:
    """Return a notice at a step; `quietly`, where no restic is at work that could be kept from its end: the run is over before the two minutes."""
    at, says, blow = f"step.started {step}", "run.committed" if quietly else '"run.interrupted"', notice if quietly else take_back
    return Fault(f"notice of an interruption at {step}", OK, says, at=at, blow=blow, kind="notice")


def _killed(name: str, at: str) -> Fault:
    return Fault(f"the controller is killed {name}", KILLED, "", at=at, blow=kill_controller, kind="controller")


KILLED = -signal.SIGKILL
AT_ONCE = 'try_for = "0m"'
FAULTS = (
    Fault(
        "EC2 throttles every call, twice",
        OK,
        '"call.retried"',
        ec2_says(all={"code": "RequestLimitExceeded", "status": 503, "times": 2}),
        kind="EC2",
    ),
    Fault(
        "EC2 fails in every call, twice",
        OK,
        '"call.retried"',
        ec2_says(all={"code": "InternalError", "status": 500, "times": 2}),
        kind="EC2",
    ),
    Fault("EC2's answer to every call is lost, once", OK, '"call.retried"', ec2_says(all={"lose": True, "times": 1}), kind="EC2"),
    Fault("EC2 answers every call 3 s late, once", OK, "", ec2_says(all={"wait_s": 3, "times": 1}), kind="EC2"),
    Fault(
        "EC2 throttles every launch, for ever",
        NONE,
        "CreateFleet: RequestLimitExceeded",
        ec2_says(CreateFleet={"code": "RequestLimitExceeded", "status": 503}),
        settings=AT_ONCE,
        kind="EC2",
    ),
    Fault(
        "no pool has room",
        NONE,
        "capacity: InsufficientInstanceCapacity",
        full("InsufficientInstanceCapacity"),
        settings=AT_ONCE,
        kind="room",
    ),
    Fault(
        "the account's quota is used up",
        NONE,
        "raise the account's quota",
        full("MaxSpotInstanceCountExceeded"),
        settings=AT_ONCE,
        kind="room",
    ),
    Fault("no right to launch", USAGE, "allow ec2:CreateFleet", ec2_says(CreateFleet="UnauthorizedOperation"), kind="EC2"),
    Fault("no right to terminate", OK, '"termination.failed"', ec2_says(TerminateInstances="UnauthorizedOperation"), kind="EC2"),
    Fault("the instance dies at boot", LOST, "the instance has ended by itself", at="instance.launched", blow=kill_booting, kind="death"),
    *(_dies(step) for step in ("survey", "revert", "admit", "freeze", "forget", "prune", "check")),
    # Over before it is dead, maybe: then nothing is done again.
    *(_dies(step, "run.committed") for step in ("commit", "mark")),
    *(_noticed(step) for step in ("survey", "revert", "admit", "freeze", "forget", "prune", "check")),
    *(_noticed(step, quietly=True) for step in ("commit", "mark")),
    Fault("the agent is killed, as for want of memory", LOST, "status", at="step.started check", blow=kill_agent, kind="memory"),
    # Packs are proved again by halves, the others' verdicts are not: the run is held.
    _killed_restic("admit", OK, "run.committed"),
    *(_killed_restic(step, HELD, "or by the kernel, for want of memory") for step in ("prune", "check")),
    Fault("the agent's keeper is killed", LOST, '"status":255', at="step.started check", blow=kill_keeper, kind="memory"),
    Fault(
        "cloud-init starts no agent",
        LOST,
        "its agent said nothing",
        lambda park: broken_program(park, AGENT, NO_AGENT),
        kind="boot",
        impatient=(("BEGUN_WITHIN_S", 6),),
    ),
    Fault(
        "sshd never comes up",
        LOST,
        "the instance runs and does not answer",
        lambda park: broken_program(park, SSHD, "#!/bin/sh\nexit 255\n"),
        kind="boot",
        impatient=(("REACHED_WITHIN_S", 12),),
    ),
    Fault("somebody else answers, with another host key", LOST, "answered with another host key", another_host_key, kind="boot"),
    Fault(
        "the metadata service falls silent",
        USAGE,
        "credentials",
        lambda park: without(park, imds.SILENT),
        "instance.reached",
        fails(imds.SILENT),
        kind="metadata",
    ),
    Fault(
        "the metadata service is silent for 3 s", OK, "run.committed", at="instance.reached", blow=fails(imds.SILENT, 3), kind="metadata"
    ),
    Fault("the network is cut for 1 s", OK, '"connection.lost"', at="step.started check", blow=fails(tunnels.CUT, 1), kind="network"),
    Fault("the network is cut for 5 s", OK, '"connection.lost"', at="step.started check", blow=fails(tunnels.CUT, 5), kind="network"),
    Fault(
        "the network is cut for 1 min",
        OK,
        '"connection.lost"',
        at="step.started survey",
        blow=fails(tunnels.CUT, 60),
        kind="network",
    ),
    Fault(
        "the network is cut for ever",
        LOST,
        "the network is cut",
        lambda park: without(park, tunnels.CUT),
        "step.started survey",
        fails(tunnels.CUT),
        kind="network",
        impatient=(("BACK_WITHIN_S", 8), ("REACHED_WITHIN_S", 60)),
    ),
    Fault("the instance's disk is full", HELD, "no space is left", at="instance.reached", blow=fill_disk, kind="instance"),
    Fault(
        "the instance's clock is an hour behind",
        USAGE,
        "this machine's clock: 60 minutes behind the store's",
        at="instance.launched",
        blow=move_clock,
        kind="instance",
    ),
    _killed("at the launch", "instance.launched"),
    _killed("when it has logged in", "instance.reached"),
    *(_killed(f"at {step}", f"step.started {step}") for step in ("admit", "prune", "check")),
)
"""Every fault that the documentation's table names. The less patience, the sooner a table is made: see IMPATIENT."""
