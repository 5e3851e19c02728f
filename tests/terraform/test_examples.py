"""Every example, from an empty account to one that holds nothing but the backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import client
from tests.support.terraform import Root

BACKUPS = ("module.repository", "module.state")
"""What holds them, and is never destroyed: README, "Taking it down"."""


@pytest.mark.long
def test_the_minimal_example_comes_stays_and_goes_without_the_backups(own_sandbox: Sandbox, tmp_path: Path) -> None:
    root = Root.of("examples/minimal", tmp_path / "terraform", own_sandbox)
    root.apply()
    assert root.drift() == ""

    s3 = client(own_sandbox, "admin")
    s3.put_object(Bucket="acme-backups", Key="web/data/x", Body=b"x")
    code, said = root.call("destroy", "-auto-approve")
    assert (code, "prevent_destroy" in said) == (1, True)
    root.must("state", "rm", *BACKUPS)
    root.must("destroy", "-auto-approve")

    assert root.addresses() == []
    assert s3.get_object(Bucket="acme-backups", Key="web/data/x")["Body"].read() == b"x"
    assert s3.get_bucket_versioning(Bucket="acme-backups")["Status"] == "Enabled"
