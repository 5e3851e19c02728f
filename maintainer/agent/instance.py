"""The agent's keeper on an instance, `maintainer-agent run`: starts the agent and outlives it.

What the agent writes lies in files, so that neither a lost connection nor a dead controller costs a line; when all has been read, or nobody
came for it, the machine powers itself off.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maintainer.agent import remote, resident
from maintainer.core.errors import ExitCode
from maintainer.core.events import encode
from maintainer.core.job import GIVEN_CREDENTIALS
from maintainer.edges.clock import Clock, SystemClock
from maintainer.edges.log import Recorder

JOB = Path("/etc/maintainer/job.json")
IMAGE = Path("/usr/lib/maintainer/image.json")
POWER_OFF = "/usr/sbin/poweroff"
GIVEN_WITHIN_S = 600
"""How long an agent waits for the keys of the store, where the machine has none: longer than a controller takes to find its way there."""
LINGER_S = 600
"""How long the machine waits for a controller that has not read everything yet: the events are in the state store as well."""
TURN_S = 0.05
METADATA = {"AWS_METADATA_SERVICE_TIMEOUT": "5", "AWS_METADATA_SERVICE_NUM_ATTEMPTS": "2"}
"""How botocore asks for the role's keys (boto3 guide, "Environment variables"): by itself it gives up for good after one second."""
PATIENCE_S = 120
"""How long an agent that was asked to end in order may take."""


def main() -> None:
    """Keep one agent, and power the machine off when its events were read."""
    place = remote.PLACE
    place.mkdir(exist_ok=True)
    Keeper(JOB, place, SystemClock(), image=IMAGE).run()
    subprocess.run([POWER_OFF], check=False)  # noqa: S603 - the image's own


def keep(place: Path, limit_s: int) -> None:
    """Keep one agent on a machine that stays: it ends after its limit, whoever follows, and whether this process lives."""
    timer = ("timeout", "--foreground", "--preserve-status", f"--kill-after={PATIENCE_S}", str(limit_s))
    Keeper(place / resident.JOB, place, SystemClock(), around=timer).run()


@dataclass
class Keeper:
    """Holds one agent. `place` is where `remote` looks, `image` what says of what the machine was made, `around` starts the agent."""

    job: Path
    place: Path
    clock: Clock
    image: Path | None = None
    around: tuple[str, ...] = ()

    def run(self) -> None:
        """Start the agent, do what is wished of it, keep how it ended, and wait until that was read. A second keeper does nothing."""
        own = self.place / f"{remote.ALIVE}.{os.getpid()}"
        with own.open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)  # held as long as this process lives: whoever follows sees its death
            try:
                (self.place / remote.ALIVE).hardlink_to(own)
            except FileExistsError:
                return
            finally:
                own.unlink(missing_ok=True)
            self._run()

    def _run(self) -> None:
        if reason := self._wrong_image():
            do = "find out who changed the image, or its tag; then pin the digest of the image that you trust"
            status = int(self._refuse(reason, do, ExitCode.USAGE))
        elif self._is_given_keys():
            status = self._follow(self._start())
        elif (self.place / "stop").exists():
            reason = "it was asked to end before it had the keys of the store"
            status = int(self._refuse(reason, "run it again", ExitCode.TERMINATED))
        else:
            reason = f"nobody gave this machine the keys of the store within {GIVEN_WITHIN_S} s"
            status = int(self._refuse(reason, "its controller does that over SSH: look at what it says", ExitCode.NO_INSTANCE))
        new = self.place / "exit.new"
        new.write_text(str(status), encoding="ascii")
        new.replace(self.place / "exit")
        limit = self.clock.monotonic() + LINGER_S
        while not (self.place / "collected").exists() and self.clock.monotonic() < limit:
            self.clock.sleep(TURN_S)

    def _wrong_image(self) -> str:
        if self.image is None:
            return ""
        wanted = json.loads(self.job.read_bytes()).get("image_digest", "")
        found = json.loads(self.image.read_bytes())["digest"] if self.image.exists() else "no digest"
        if not wanted or found in wanted.split():
            return ""
        return f"this machine was made from another image than the one that was pinned: {found}; expected {wanted}"

    def _is_given_keys(self) -> bool:
        """Wait for the store's keys, where the job says that they lie here; tell whether they came. A wish to stop ends the wait."""
        if json.loads(self.job.read_bytes()).get("access", {}).get("credentials_file") != GIVEN_CREDENTIALS:
            return True
        limit = self.clock.monotonic() + GIVEN_WITHIN_S
        while not (self.place / remote.KEYS).exists():
            if self.clock.monotonic() > limit or (self.place / "stop").exists():
                return False
            self.clock.sleep(TURN_S)
        return True

    def _refuse(self, reason: str, guidance: str, code: ExitCode) -> ExitCode:
        """Tell in the agent's place why it is not started."""
        run_id = str(json.loads(self.job.read_bytes()).get("run_id", ""))
        with (self.place / "events.jsonl").open("a", encoding="utf-8") as events:
            recorder = Recorder(run_id, "agent", self.clock, lambda event: print(encode(event), file=events))
            recorder.record("run.failed", reason=reason, guidance=guidance, exit_code=code)
            recorder.record("run.closed", exit_code=code)
        return code

    def _start(self) -> subprocess.Popen[bytes]:
        with (
            (self.place / "events.jsonl").open("ab") as events,
            (self.place / remote.ERRORS).open("ab") as errors,
            self.job.open("rb") as job,
        ):
            # No path of this process reaches it but the wishes: a session of its own.
            return subprocess.Popen(  # noqa: S603 - our own program
                [*self.around, sys.executable, "-m", "maintainer.agent.main"],
                env={**METADATA, **os.environ},
                stdin=job,
                stdout=events,
                stderr=errors,
                start_new_session=True,
            )

    def _follow(self, agent: subprocess.Popen[bytes]) -> int:
        """Wait for the agent's end; return its exit status, or what a shell would say of a signal."""
        asked: float | None = None
        while (status := agent.poll()) is None:
            if asked is None and self._has_begun() and (self.place / "stop").exists():
                asked = self.clock.monotonic()
                agent.send_signal(signal.SIGTERM)
            if asked is not None and self.clock.monotonic() > asked + PATIENCE_S:
                with suppress(ProcessLookupError):
                    os.killpg(agent.pid, signal.SIGKILL)
            self.clock.sleep(TURN_S)
        return status if status >= 0 else 128 - status

    def _has_begun(self) -> bool:
        """Tell whether the agent has written an event: before that it does not heed signals yet, and would die without a word."""
        return (self.place / "events.jsonl").stat().st_size > 0
