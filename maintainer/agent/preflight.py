"""What only the repository's own store can tell, looked at before anything is done: versioning, clock, the host's reach."""

from __future__ import annotations

import re
from dataclasses import replace

from maintainer.agent.run import Run
from maintainer.core.errors import AccessDeniedError, ConfigurationError, MaintainerError, PermissionDeniedError, Problem
from maintainer.core.findings import Kind
from maintainer.core.job import Access, Job
from maintainer.core.revert import RevertPlan
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


_UNDER = re.compile("foreign headers: ServerSideEncryption under (arn:[^ ,]+)")


def ask_for_key(run: Run, plan: RevertPlan) -> None:
    """At first contact refuse to copy a whole repository anew, for one KMS key that nobody named. ConfigurationError, which names it.

    A bucket that encrypts by default does so with every object. Keys of several, or of some objects alone, are healed: whoever put those
    can take the key away.
    """
    if not run.fold.is_first_contact or not plan.heal or len(plan.heal) < len(plan.new):
        return
    keys: set[str] = set()
    for heal in plan.heal.values():
        found = _UNDER.fullmatch(run.looks(heal.source).why) if heal.why is Kind.NOT_PLAIN else None
        if found is None:
            return
        keys.add(found[1])
        if len(keys) > 1:
            return
    (key,) = keys
    do = f'if it is the bucket\'s own, say so in its [[repository]]: kms_key = "{key}". If not, it must not be under that key'
    raise ConfigurationError((Problem(f"{run.job.name}: kms_key", f"every object is under the KMS key {key}", "the key, by its ARN", do),))
