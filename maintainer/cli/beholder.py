"""What commands share that look at a repository themselves, with the credentials of whoever calls them."""

from __future__ import annotations

from maintainer.agent.run import Run
from maintainer.cli import common
from maintainer.edges import restic
from maintainer.edges.log import Recorder
from maintainer.edges.objectstore import S3Store
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import StateStore
from maintainer.settings.load import Settings
from maintainer.settings.models import RepositorySection


def beholder(command: str, chosen: Settings, repository: RepositorySection) -> Run:
    """Return a run that nobody started: it sees what a run would, and tells nobody."""
    (job,) = chosen.job(command, [repository]).repositories
    clock, access, state = common.clock(chosen), chosen.access(), chosen.state_place()
    return Run(
        command,
        job,
        S3Store(S3(access, job.place.endpoint), job.place.bucket, job.place.prefix, clock.now, job.kms_key),
        StateStore(S3(access, state.endpoint), state.below(job.name)),
        restic.find(chosen.restic.path),
        Recorder(command, "agent", clock, lambda _: None),
        clock,
    )
