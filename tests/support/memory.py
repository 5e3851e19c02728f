"""A sandbox whose store is in memory: two versioned buckets, the identities' names, a configuration, and no access control."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maintainer.edges.clock import write_offset
from maintainer.sandbox.daemon import Sandbox
from maintainer.sandbox.provision import BUCKET, LOCAL, REGION, STATE_BUCKET, Credentials, write_files
from tests.support.buckets import client_of
from tests.support.patience import PATIENCE_S

WHO = ("admin", "host", "maintenance", "controller")


@contextmanager
def memory_sandbox() -> Iterator[Sandbox]:
    """Serve it; its clock is moved as a sandbox's is, by the file in its directory."""
    directory = Path(tempfile.mkdtemp(prefix="maintainer-"))
    write_offset(directory / "clock", 0)
    command = [sys.executable, "-m", "tests.support.memorys3", str(directory)]
    process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        endpoint = process.stdout.readline().strip()
        credentials = {who: Credentials(f"key-of-{who}", f"secret-of-{who}") for who in WHO}
        s3 = client_of(endpoint, REGION, credentials["admin"])
        for bucket in (BUCKET, STATE_BUCKET):
            s3.create_bucket(Bucket=bucket)
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        config = write_files(directory, endpoint, credentials, LOCAL)
        yield Sandbox(endpoint, REGION, BUCKET, STATE_BUCKET, credentials, str(config), str(directory), process.pid)
    finally:
        process.stdin.close()
        process.wait(PATIENCE_S)
        process.stdout.close()
        shutil.rmtree(directory)
