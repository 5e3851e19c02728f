"""What each run of a month has cost, in the state store: so that a budget holds over runs, wherever they are started."""

from __future__ import annotations

import re
from dataclasses import dataclass

from maintainer.core.costs import month_spent
from maintainer.core.errors import AlreadyExistsError
from maintainer.core.job import Place
from maintainer.edges.s3 import S3

FOLDER = "_bills"
"""Beside the repositories' parts: no repository's name begins with an underscore."""
UNKNOWN = "unknown"
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Bills:
    """The bills below one state store. The amount is in the key, in millionths of a USD: a month is one listing."""

    s3: S3
    place: Place

    def add(self, run_id: str, usd: float | None) -> None:
        """Keep what a run has cost; None is not known. The same again is kept once."""
        amount = UNKNOWN if usd is None else f"{round(usd * _MICRO):012d}"
        key = f"{self._month(run_id)}{run_id}-{amount}"
        try:
            self.s3.call("put_object", Bucket=self.place.bucket, Key=key, Body=b"", IfNoneMatch="*")
        except AlreadyExistsError:
            return

    def spent(self, run_id: str) -> float:
        """Return what the runs of this run's month (UTC) have cost, in USD."""
        whole = self._month(run_id)
        amounts = [re.fullmatch(r".+-([0-9]{12}|unknown)", key) for key in self.s3.keys(self.place.bucket, whole)]
        return month_spent(None if found[1] == UNKNOWN else int(found[1]) / _MICRO for found in amounts if found)

    def _month(self, run_id: str) -> str:
        return f"{self.place.below(FOLDER).prefix}/{run_id[:4]}-{run_id[4:6]}/"
