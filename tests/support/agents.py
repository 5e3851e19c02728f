"""The agent as tests run it: a process of its own, a job on its standard input, its events read back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maintainer.agent.main import attend
from maintainer.core.entries import accept_subjects
from maintainer.core.events import Event, decode, encode
from maintainer.core.job import Access, Expected, Job, Keep, Place, RepositoryJob
from maintainer.core.job import decode as decode_job
from maintainer.core.ledger import Fold
from maintainer.core.moments import to_text
from maintainer.edges.clock import SystemClock, write_offset
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import StateStore, new_run_id
from tests.support.buckets import access
from tests.support.patience import PATIENCE_S
from tests.support.repositories import Repository


@dataclass
class Ran:
    """How a run ended, and what it told."""

    code: int
    events: list[Event]
    errors: str

    def named(self, event: str) -> list[Event]:
        return [one for one in self.events if one.event == event]

    def findings(self, standing: str = "new") -> list[str]:
        """Return the kinds of the findings with this standing."""
        return sorted(str(e.fields["kind"]) for e in self.named("finding.reported") if e.fields["standing"] == standing)

    def why(self) -> str:
        return "; ".join(f"{e.fields['reason']}" for e in self.named("run.failed")) + self.errors


UNGUARDED = 'at_least = 1\nshare = 1.0\nstale = "1000d"\n'
"""A repository's keys for tests that are not about the guard's limits: a few snapshots, and weeks without a backup."""


@dataclass
class Maintained:
    """A repository in the care of maintainer: runs, judgements, and the sandbox's time."""

    repository: Repository
    keep: Keep = field(default_factory=Keep)
    expect: tuple[Expected, ...] = ()
    name: str = ""
    limits: dict[str, Any] = field(default_factory=lambda: {"at_least": 1, "share": 1.0, "stale_s": 1000 * 86_400})
    """As UNGUARDED says."""

    def __post_init__(self) -> None:
        self.name = self.name or self.repository.prefix
        self.password_file = self.repository.root / "password"
        self.password_file.write_text(self.repository.password + "\n")
        sandbox = self.repository.sandbox
        self.clock_file = Path(sandbox.directory) / "clock"
        self.state = StateStore(S3(access(sandbox)), self.state_place.below(self.name))

    @property
    def state_place(self) -> Place:
        return Place(self.repository.sandbox.state_bucket, "tests", self.repository.sandbox.endpoint)

    def expect_host(self) -> None:
        """Expect what the repository backs up."""
        self.expect = (Expected(self.repository.host, (str(self.repository.source),)),)

    def job(self) -> Job:
        sandbox = self.repository.sandbox
        return Job(
            run_id=new_run_id(to_text(SystemClock(self.clock_file).now())),
            access=Access(sandbox.endpoint, sandbox.region, "maintenance", f"{sandbox.directory}/credentials", str(self.clock_file)),
            state=self.state_place,
            repositories=(
                RepositoryJob(
                    self.name,
                    Place(sandbox.bucket, self.repository.prefix, sandbox.endpoint),
                    f"file:{self.password_file}",
                    self.keep,
                    self.expect,
                    **self.limits,
                ),
            ),
            restic=self.repository.binary,
            memory=1 << 30,
        )

    def start(self, job: Job | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "maintainer.agent.main"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write((job or self.job()).encode() + "\n")
        process.stdin.flush()
        return process

    def finish(self, process: subprocess.Popen[str]) -> Ran:
        output, errors = process.communicate(timeout=PATIENCE_S)
        return Ran(process.returncode, [decode(line) for line in output.splitlines()], errors)

    def run(self, job: Job | None = None) -> Ran:
        """Run the agent in this process, which spares a test the start of another: a second a night. `start` is for who ends it."""
        lines: list[str] = []
        code = attend(decode_job((job or self.job()).encode()), lambda event: lines.append(encode(event)))
        return Ran(code, [decode(line) for line in lines], "")

    def run_through(self, endpoint: str) -> Ran:
        """Run with all of S3 behind another endpoint: a proxy that fails."""
        return self.finish(self.start(self.job_through(endpoint)))

    def job_through(self, endpoint: str) -> Job:
        """Return the job of such a run."""
        job = self.job()
        (one,) = job.repositories
        one = replace(one, place=replace(one.place, endpoint=endpoint))
        access = replace(job.access, endpoint=endpoint)
        return replace(job, access=access, state=replace(job.state, endpoint=endpoint), repositories=(one,))

    def judge(self, action: str, *subjects: str) -> None:
        self.state.append_judgement(action, subjects, who="ann", at=to_text(SystemClock(self.clock_file).now()))

    def accept(self) -> None:
        """Accept the repository with the hosts and paths that the last run saw."""
        self.judge("accept", *accept_subjects(self.fold().observed))

    def fold(self) -> Fold:
        return self.state.ledger().fold

    def pass_days(self, days: float) -> None:
        """Let the sandbox's time go on to so many days from the start."""
        write_offset(self.clock_file, days * 86_400)


def with_grace(maintained: Maintained, job: Job, *, days: float) -> Job:
    """Return the job with another grace."""
    (one,) = job.repositories
    return replace(job, repositories=(replace(one, grace_s=days * 86_400),))
