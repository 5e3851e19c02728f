"""Making an image: an instance of Debian's own, provisioned over SSH by the kit's script, checked, sealed, and made an image of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta

from maintainer.core.errors import ConnectionLostError, MaintainerError, NoInstanceError
from maintainer.core.moments import to_text
from maintainer.edges import ssh, userdata
from maintainer.edges.clock import Clock
from maintainer.edges.compute import controllers, images
from maintainer.edges.compute.ec2 import Ec2
from maintainer.edges.compute.instance import LOOK_EVERY_S, REACHED_WITHIN_S, knock_pause
from maintainer.edges.compute.shapes import Instance, Marks, Shape
from maintainer.edges.log import Recorder
from maintainer.edges.ssh import Door, Session

GROUP = "/builder"
"""The builder's mark: no group's name has a slash."""
KIT = "/var/tmp/kit"  # noqa: S108 - on a machine of our own, where nobody else is
STEPS = ("base", "agent", "verify", "seal")
STEP_S = 1800.0
REFUSED_S = 1.0
"""Before the next try, where it answers and does not let us in yet: sshd punishes haste."""
KEPT = 2_000


@dataclass(frozen=True, slots=True)
class Builder:
    """What is launched, and how it is reached. `user` is the account that its image lets in; `endpoint` leads there."""

    shape: Shape
    owner: str
    user: str
    ssh_port: int
    limit: timedelta
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the building, and what it reads."""

    name: str
    command: str
    given: bytes = b""


def build(builder: Builder, kit: bytes, digest: str, run_id: str, ec2: Ec2, clock: Clock, recorder: Recorder) -> str:  # noqa: PLR0917
    """Make an image of a kit (a tar) with this digest; return its id. The builder is terminated, whatever happens.

    NoInstanceError where none comes, or a step fails; then its last words are the guidance. AccessDeniedError, ConfigurationError.
    """
    began = clock.monotonic()
    endpoint = ec2.tunnels(builder.endpoint) if builder.endpoint else None
    host, login = ssh.generate_key(), ssh.generate_key()
    deadline = to_text(clock.now() + builder.limit)
    marks = Marks(builder.owner, run_id, GROUP, deadline, controllers.here())
    data = userdata.render_builder(host_key=host, login_key=login.public, deadline_s=int(builder.limit.total_seconds()))
    instance = ec2.launch(builder.shape, marks, data)
    try:
        what = {"type": instance.instance_type, "zone": instance.zone, "market": instance.lifecycle, "deadline": deadline}
        recorder.record("instance.launched", instance=instance.id, group=GROUP, **what)
        address = instance.public if builder.shape.public and instance.public else instance.address
        door = Door(address, builder.ssh_port, host.public, login, endpoint, builder.user)
        with _reached(door, instance, ec2, clock) as session:
            recorder.record("instance.reached", instance=instance.id)
            unpack = Step("unpack", f"mkdir {KIT} && tar -C {KIT} -xzf -", kit)
            for step in (unpack, *(Step(name, f"sudo sh {KIT}/provision.sh {name} {KIT} 2>&1") for name in STEPS)):
                _do(session, step, instance, clock, recorder)
        named = f"maintainer-{digest[:12]}-{run_id.partition('-')[0]}"
        made = images.make(ec2, instance.id, digest, named, clock)
    finally:
        _end(ec2, instance, recorder)
    recorder.record("image.made", image=made, digest=digest, instance=instance.id, seconds=round(clock.monotonic() - began, 1))
    return made


@contextmanager
def _reached(door: Door, instance: Instance, ec2: Ec2, clock: Clock) -> Iterator[Session]:
    """Knock until it lets us in. NoInstanceError with its console where it does not; HostKeyMismatchError."""
    with ExitStack() as opened:
        began = looked = clock.monotonic()
        is_gone, why = False, ""
        while not is_gone and clock.monotonic() < began + REACHED_WITHIN_S:
            try:
                session = opened.enter_context(ssh.connect(door, clock))
            except ConnectionLostError as error:
                why = error.message
                is_refused = not isinstance(error, ssh.NobodyAnswersError)
            else:
                yield session
                return
            if clock.monotonic() > looked + LOOK_EVERY_S:
                looked = clock.monotonic()
                found = ec2.look(instance.id)
                is_gone = found is None or found.is_ended
            clock.sleep(REFUSED_S if is_refused else knock_pause(clock.monotonic() - began))
        console = ""
        with suppress(MaintainerError):
            console = ec2.console(instance.id)[-KEPT:]
        raise NoInstanceError(f"the builder {instance.id} does not let us in: {why}", guidance=f"its console ends with: {console}")


def _do(session: Session, step: Step, instance: Instance, clock: Clock, recorder: Recorder) -> None:
    """Do one step there. NoInstanceError with its last words."""
    began = clock.monotonic()
    status, said = session.ask(step.command, step.given, within_s=STEP_S)
    if status:
        raise NoInstanceError(
            f"{step.name} failed on {instance.id} with status {status}", guidance=f"its last words: {said.strip()[-KEPT:]}"
        )
    recorder.record("image.step", instance=instance.id, step=step.name, seconds=round(clock.monotonic() - began, 1))


def _end(ec2: Ec2, instance: Instance, recorder: Recorder) -> None:
    try:
        ec2.terminate([instance.id])
    except MaintainerError as error:
        recorder.record("termination.failed", instance=instance.id, group=GROUP, reason=error.message)
    else:
        recorder.record("instance.terminated", instance=instance.id, group=GROUP)
