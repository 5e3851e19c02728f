"""Ours alone, measured from outside: survey, plan and heal, as a run does, with the pins of a ledger.

AWS_ENDPOINT_URL_S3=ENDPOINT python -m benchmarks.healer PINS
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.bucket import BUCKET, ROOT
from maintainer.agent.revert import carry_out, make_plan
from maintainer.agent.run import Run
from maintainer.core.job import Access, Place, RepositoryJob
from maintainer.core.segments import parse
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder
from maintainer.edges.objectstore import S3Store
from maintainer.edges.restic import Restic
from maintainer.edges.s3 import S3
from maintainer.edges.statestore import StateStore


def main() -> None:
    """Heal all that the ledger can tell of; print how many objects that were."""
    endpoint, pins = os.environ["AWS_ENDPOINT_URL_S3"], sys.argv[1]
    clock, s3 = SystemClock(), S3(Access(endpoint=endpoint))
    place = Place(BUCKET, ROOT.rstrip("/"), endpoint)
    healed = 0

    def count(event: object) -> None:
        nonlocal healed
        healed += getattr(event, "event", "") == "object.healed"

    run = Run(
        "bench",
        RepositoryJob("bench", place, "env:NONE"),
        S3Store(s3, place.bucket, place.prefix, clock.now),
        StateStore(s3, place),
        Restic("restic", ""),
        Recorder("bench", "agent", clock, count),
        clock,
    )
    run.survey()
    with Path(pins).open() as lines:
        run.fold.records.put_texts(parse(line.rstrip("\n")) for line in lines)
    carry_out(run, make_plan(run), lambda _: False)
    print(healed)


if __name__ == "__main__":
    main()
