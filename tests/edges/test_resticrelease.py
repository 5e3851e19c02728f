"""restic's release is fetched by its digest, and nothing else is installed."""

from __future__ import annotations

import bz2
import hashlib
import json
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from maintainer.cli.main import main
from maintainer.core.errors import FetchError
from maintainer.edges import resticrelease
from maintainer.edges.resticrelease import RELEASE, fetch
from tests.support.files import serving_files

PROGRAM = b"#!/bin/sh\necho restic 0.18.1 compiled\n"
BODY = bz2.compress(PROGRAM)
PINNED = {platform.machine(): hashlib.sha256(BODY).hexdigest()}


@pytest.fixture
def releases(tmp_path: Path) -> Iterator[str]:
    place = tmp_path / "server" / f"v{RELEASE}"
    place.mkdir(parents=True)
    for name in resticrelease._NAMES.values():
        (place / f"restic_{RELEASE}_linux_{name}.bz2").write_bytes(BODY)
    with serving_files(place.parent) as address:
        yield address


def test_what_has_the_pinned_digest_is_installed(tmp_path: Path, releases: str) -> None:
    path = fetch(tmp_path / "bin", releases, PINNED)
    assert path.read_bytes() == PROGRAM
    assert path.stat().st_mode & 0o777 == 0o755


def test_what_has_another_is_not(tmp_path: Path, releases: str) -> None:
    with pytest.raises(FetchError, match="its SHA-256 is"):
        fetch(tmp_path / "bin", releases)
    assert not (tmp_path / "bin").exists()


@pytest.mark.parametrize(
    ("releases_at", "digests", "why"), [("http://127.0.0.1:1", PINNED, "refused"), ("http://127.0.0.1:1", {}, "is pinned for")]
)
def test_no_answer_and_no_release_are_told(tmp_path: Path, releases_at: str, digests: dict[str, str], why: str) -> None:
    with pytest.raises(FetchError, match=why):
        fetch(tmp_path, releases_at, digests)


def test_the_command_fetches_where_none_will_do_and_says_where(
    tmp_path: Path, releases: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restic", "fetch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fetched"] is False
    monkeypatch.setenv("RESTIC_RELEASES", releases)
    assert main(["restic", "fetch", "--to", str(tmp_path)]) == 2
    assert "nothing was installed" in capsys.readouterr().err
