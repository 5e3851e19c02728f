"""restic's cache for as long as one repository's run lasts: without it each tree would be a request of its own, each time it is read."""

from __future__ import annotations

import shutil
from itertools import chain

from maintainer.agent.run import Run
from maintainer.core.amounts import size
from maintainer.core.records import Records, State
from maintainer.core.repofiles import FileType
from maintainer.edges.scratch import Scratch, disk

COPIES = 3
"""What a run comes to hold of all that is cached: restic's own, that of its check, and what a prune writes anew."""
SHARE = 2
"""One part in so many of what the disk has free may be taken."""
CACHED = (f"{FileType.INDEX.value}/", f"{FileType.SNAPSHOT.value}/")


def cache_for(run: Run, changes: Records) -> Scratch | None:
    """Return a directory for restic's cache; None where what it would hold might fill the disk, which restic does not survive.

    `changes` is what admission makes of the ledger's records.
    """
    known = run.fold.records
    records = chain(
        ((key, changes.get(key, record)) for key, record in known.select()),
        ((key, record) for key, record in changes.select() if key not in known),
    )
    folder = disk()
    needed = COPIES * sum(
        record.size for key, record in records if record.state is not State.EVICTED and (record.trees or key.startswith(CACHED))
    )
    free = shutil.disk_usage(folder).free
    if needed > free // SHARE:
        run.recorder.record("cache.refused", needs=size(needed), free=size(free), folder=str(folder))
        return None
    return Scratch(folder)
