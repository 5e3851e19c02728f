"""What only the repository's own store can tell, looked at before anything is done: versioning, clock, the host's reach."""

from __future__ import annotations

from dataclasses import replace

from maintainer.agent.run import Run
from maintainer.core.errors import AccessDeniedError, ConfigurationError, MaintainerError, PermissionDeniedError, Problem
from maintainer.core.job import Access, Job
from maintainer.edges.capabilities import LARGEST_SKEW
from maintainer.edges.s3 import S3


def check(run: Run, job: Job) -> None:
    """Raise ConfigurationError for what would make a run unsafe, AccessDeniedError and NotFoundError for what would stop it."""
    bucket = run.job.place.bucket
    try:
        is_versioned, store_time = run.store.is_versioned()
    except PermissionDeniedError as error:
        raise AccessDeniedError(f"{error.message}. {_suspected(run)}", guidance=error.guidance) from error
    if not is_versioned:
        raise _wrong(
            f"bucket {bucket}",
            "versioning is not on",
            "a versioned bucket: without versions nothing that was overwritten can come back",
            f"aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration Status=Enabled",
        )
    if store_time is not None and abs(run.now - store_time) > LARGEST_SKEW:
        minutes = (run.now - store_time).total_seconds() / 60
        raise _wrong(
            "this machine's clock",
            f"{abs(minutes):.0f} minutes {'ahead of' if minutes > 0 else 'behind'} the store's",
            "the right time: retention is judged by it",
            "set the clock, for example with chrony",
        )
    if run.job.host_profile:
        _check_reach(run, replace(job.access, profile=run.job.host_profile), job)


def _suspected(run: Run) -> str:
    """Say what the listing lets us suspect of a bucket whose versioning we may not ask about: without it every version's id is null."""
    try:
        first = next(iter(run.store.survey()), None)
    except MaintainerError:
        return "Whether the bucket is versioned is not known"
    if first is not None and first.version_id == "null":
        return "The bucket is probably not versioned: the id of its first version is null"
    return "Whether the bucket is versioned is not known"


def _check_reach(run: Run, host: Access, job: Job) -> None:
    """With the host's own key, make sure that the state store can not even be listed."""
    place = job.state
    try:
        next(S3(host, place.endpoint).keys(place.bucket, f"{place.prefix}/"), None)
    except AccessDeniedError:
        return
    raise _wrong(
        f"[state] location {place}",
        f"the host of {run.job.name} (profile {run.job.host_profile}) can list it",
        "a place that no backup host reaches: whoever writes there decides what is deleted",
        "take it out of the host's policy, or use another bucket",
    )


def _wrong(where: str, found: str, expected: str, do: str) -> ConfigurationError:
    return ConfigurationError((Problem(where, found, expected, do),))
