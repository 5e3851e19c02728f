"""A second S3, of other people's making, beside the sandbox's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from maintainer.core.job import Access
from maintainer.edges.s3 import S3

BUCKET = "second"


@pytest.fixture(scope="session")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """How to reach moto's S3, with a versioned bucket named BUCKET in it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    credentials = tmp_path_factory.mktemp("second") / "credentials"
    credentials.write_text("[second]\naws_access_key_id = any\naws_secret_access_key = any\n")
    reached = Access(f"http://127.0.0.1:{port}", "us-east-1", "second", str(credentials))
    client = S3(reached)
    client.call("create_bucket", Bucket=BUCKET)
    client.call("put_bucket_versioning", Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    try:
        yield reached
    finally:
        server.stop()
