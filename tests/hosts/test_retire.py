"""`maintainer retire`: a host that comes no more, and a repository that is kept as long as was said, whatever the time does to it."""

from __future__ import annotations

import json
import uuid
from datetime import date, timedelta
from pathlib import Path

import pytest

from maintainer.sandbox.daemon import Sandbox, move_clock
from maintainer.settings import editing
from tests.hosts.test_enroll import SOURCE, Office

TODAY = date.today()  # noqa: DTZ011 - as a person means it
SOON, LATER = (str(TODAY + timedelta(days=days)) for days in (10, 60))


@pytest.fixture
def left(timed_sandbox: Sandbox, tmp_path: Path) -> Office:
    """Return an office with a host that backed up three times, and was retired."""
    made = Office(timed_sandbox, tmp_path, f"r-{uuid.uuid4().hex[:10]}")
    (tmp_path / SOURCE).mkdir()
    (tmp_path / SOURCE / "always").write_text("what is to be kept" * 1000)
    made.configure(more="# the last line, and somebody's own\n")
    made.enroll()
    for number in range(3):
        (tmp_path / SOURCE / str(number)).write_text(f"what came on day {number}")
        made.restic("backup", "--host", "web1", str(tmp_path / SOURCE))
    made.call("run", "--once", "--repository", "web1")
    return made


def snapshots(office: Office) -> int:
    password = (office.root / "passwords" / "web1").read_text().strip()
    admin = {"AWS_ACCESS_KEY_ID": office.sandbox.credentials["admin"].access_key_id}
    admin["AWS_SECRET_ACCESS_KEY"] = office.sandbox.credentials["admin"].secret_access_key
    return len(json.loads(office.restic("snapshots", "--json", more={**admin, "RESTIC_PASSWORD": password})))


def nights(office: Office, day: int, code: int) -> str:
    move_clock(Path(office.sandbox.directory), day * 86_400)
    return office.call("run", "--once", "--repository", "web1", code=code)


def test_it_is_kept_until_its_day_and_the_first_run_after_it_says_so(left: Office) -> None:
    before = left.config.read_text()
    assert f"is kept until {SOON}" in left.call("retire", "web1", "--until", SOON, "--profile", "admin")
    assert left.config.read_text() == before.replace('name = "web1"\n', f'name = "web1"\nkeep_until = {SOON}\n')
    assert "Access Denied" in left.restic("snapshots", code=1)
    said = nights(left, 9, 0)
    assert "late" not in said, "nothing is missed"
    assert f"its host is retired, and all of it is kept until {SOON}" in said
    assert f"kept until {SOON}" in left.call("status")
    said = nights(left, 12, 3)
    assert f"kept-long-enough: web1 — its host is retired, and it was to be kept until {SOON}" in said
    assert "storage administrator" in said
    assert snapshots(left) == 3
    assert "NEW" not in nights(left, 13, 0), "it was told"

    left.call("retire", "web1", "--until", LATER, "--profile", "admin")
    assert left.config.read_text().count("keep_until") == 1
    nights(left, 59, 0)
    assert f"until {LATER}" in nights(left, 62, 3), "another day is another finding"
    assert snapshots(left) == 3


def test_without_a_day_it_is_kept_for_ever(left: Office) -> None:
    told = json.loads(left.call("retire", "web1", "--profile", "admin", "--json"))
    assert (told["ended"], told["keep_until"], told["configured"]) == (True, "for ever", True)
    assert 'keep_until = "for ever"' in left.config.read_text()
    left.config.chmod(0o640)
    left.call("retire", "web1", "--until", LATER, "--profile", "admin")
    assert json.loads(left.call("retire", "web1", "--profile", "admin", "--json"))["keep_until"] == LATER, "as it was said"
    assert left.config.stat().st_mode & 0o777 == 0o640
    left.call("retire", "web1", "--until", "for ever", "--profile", "admin")
    assert "take keep_until out" in left.enroll()
    assert "kept for ever" in nights(left, 4_000, 0)
    assert snapshots(left) == 3


def test_a_day_that_is_none_ends_nothing(left: Office) -> None:
    before = left.config.read_text()
    none = "a date such as"
    for until, says in (("tomorrow", none), ("31.12.2031", none), ("", none), ("2020-01-01", "which is over")):
        assert says in left.call("retire", "web1", "--until", until, "--profile", "admin", code=2)
    assert left.config.read_text() == before
    left.restic("snapshots")


def test_a_configuration_that_can_not_be_written_is_told_what_to_say(left: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, _: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    before = left.config.read_text()
    with monkeypatch.context() as patched:
        patched.setattr(editing, "_write", refuse)
        said = left.call("retire", "web1", "--until", LATER, "--profile", "admin")
        assert f"could not be changed: let the repository's table say keep_until = {LATER}" in said
        assert "add to the configuration:\n\n[[repository]]" in left.enroll(host="db")
    assert left.config.read_text() == before


def test_a_table_is_changed_however_it_is_written(left: Office) -> None:
    text = left.config.read_text().replace("[[repository]]\n", "[[repository]] # as\n").replace('name = "web1"', '"name" = "web1"')
    left.config.write_text(text)
    left.call("retire", "web1", "--until", LATER, "--profile", "admin")
    assert left.config.read_text() == text.replace('"name" = "web1"\n', f'"name" = "web1"\nkeep_until = {LATER}\n')
    left.config.unlink()
    left.config.mkdir()
    assert left.call("retire", "web1", "--profile", "admin", code=2)
