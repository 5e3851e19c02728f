"""The modules' own tests, by `terraform test`: what no local endpoint has, on the plan."""

from __future__ import annotations

from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox
from tests.support.terraform import TREE, Root


@pytest.mark.parametrize("module", sorted(folder.parent.name for folder in TREE.glob("modules/*/tests")))
def test_the_modules_own_tests_pass(sandbox: Sandbox, tmp_path: Path, module: str) -> None:
    said = Root.of(f"modules/{module}", tmp_path / "terraform", sandbox).must("test")
    assert "Success!" in said, said
    assert "0 failed" in said, said
