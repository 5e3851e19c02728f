"""The view alone, as a run makes it: surveys a bucket, freezes what is there, and serves it on a socket whose address it prints.

AWS_ENDPOINT_URL_S3=ENDPOINT python -m benchmarks.viewer           serves until its standard input ends
python -m benchmarks.viewer PACKS                                  serves so many made-up packs
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator

from benchmarks.bucket import BEGAN, BUCKET, ROOT
from maintainer.core.job import Access
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.revert import Truth
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Standing, View
from maintainer.edges import shelves
from maintainer.edges.clock import SystemClock
from maintainer.edges.keptfiles import KeptFiles
from maintainer.edges.objectstore import S3Store
from maintainer.edges.s3 import S3
from maintainer.edges.scratch import disk
from maintainer.edges.shelves import ShownShelf
from maintainer.edges.viewserver import Permissions, ViewServer


def made_up(count: int) -> Iterator[ObjectVersion]:
    """Yield versions of so many packs, of the size that restic gives them."""
    for number in range(count):
        key = RepositoryFile(FileType.PACK, hashlib.sha256(b"%d" % number).hexdigest()).key()
        yield ObjectVersion(key, f"{number:032x}", is_marker=False, size=17 << 20, last_modified=BEGAN)


def main() -> None:
    """Serve it."""
    store = S3Store(S3(Access(endpoint=os.environ.get("AWS_ENDPOINT_URL_S3", ""))), BUCKET, ROOT.rstrip("/"), SystemClock().now)
    standing = shelves.truths()
    given = sys.argv[1:]
    versions = made_up(int(given[0])) if given else (history.current for history in store.survey_all(disk()).values())
    standing.update((version.key, Truth(version, BEGAN)) for version in versions)
    frozen = ShownShelf(Standing(standing, FileType))
    permissions = Permissions(write=True, delete=True)
    with ViewServer(View(frozen), KeptFiles(store), permissions, redirect=True) as server:
        print(server.address, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
