"""A client alone, measured from outside; prints how many versions it saw: `python -m benchmarks.listers maintainer|boto3 ENDPOINT`."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.stub import BUCKET, ROOT


def _ours(endpoint: str) -> int:
    """List as a run does."""
    from maintainer.core.job import Access  # noqa: PLC0415 - boto3 is measured without it
    from maintainer.edges.s3 import S3  # noqa: PLC0415 - so too
    from maintainer.edges.scratch import disk  # noqa: PLC0415 - so too
    from maintainer.edges.survey import survey  # noqa: PLC0415 - so too

    surveyed = survey(partial(S3(Access(endpoint=endpoint)).page, BUCKET), ROOT, disk())
    return surveyed.versions


def _boto3(endpoint: str) -> int:
    """List by the paginator, and count what it gives."""
    import boto3  # noqa: PLC0415 - ours is measured without it

    client = boto3.client("s3", endpoint_url=endpoint)
    pages = client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=ROOT)
    return sum(len(page.get("Versions", ())) + len(page.get("DeleteMarkers", ())) for page in pages)


if __name__ == "__main__":
    print((_ours if sys.argv[1] == "maintainer" else _boto3)(sys.argv[2]))
