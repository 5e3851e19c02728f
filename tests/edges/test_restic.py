"""restic's command lines are exact, its limits hold, and how it ends is told in our words."""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta
from pathlib import Path

import pytest

from maintainer.core.errors import ConfigurationError, ResticError
from maintainer.core.job import Keep
from maintainer.drill.forge import cheaper_key
from maintainer.edges import restic
from maintainer.edges.restic import Limits, Outcome, Restic

IDS = ("a" * 64, "b" * 64)
GOLDEN = [
    (restic.snapshots_argv(), "snapshots --no-lock --json"),
    (restic.forget_argv(IDS), f"forget --json {IDS[0]} {IDS[1]}"),
    (restic.prune_argv(), "prune -vv"),
    (restic.check_argv(read_data=True), "check --no-lock --json --read-data"),
    (restic.check_argv(read_data=False), "check --no-lock --json"),
    (restic.repair_index_argv(), "repair index"),
    (
        restic.policy_argv(Keep(last=6, daily=-1)),
        "forget --no-lock --dry-run --json --group-by host,paths --keep-last 6 --keep-daily unlimited",
    ),
    (
        restic.policy_argv(Keep(within="1y6m", tags=("keep me",))),
        "forget --no-lock --dry-run --json --group-by host,paths --keep-within 1y6m --keep-tag keep me",
    ),
]


@pytest.mark.parametrize(("argv", "written"), GOLDEN, ids=[written[:30] for _, written in GOLDEN])
def test_a_command_line(argv: tuple[str, ...], written: str) -> None:
    assert " ".join(argv) == written


def script(tmp_path: Path, body: str, limits: Limits) -> Restic:
    """Return a restic that is a shell script: what ours does with it, restic's own behaviour can not show."""
    binary = tmp_path / "restic"
    binary.write_text(f"#!/bin/bash\n{body}\n")
    binary.chmod(0o755)
    return Restic(str(binary), "0", limits)


@pytest.mark.parametrize(("of_all", "of_one"), [(0.5, None), (60, 0.5), (0.5, 60)])
def test_the_shorter_time_limit_stops_it_by_sigint_first_and_is_named(tmp_path: Path, of_all: float, of_one: float | None) -> None:
    limits = Limits(time=timedelta(seconds=of_all))
    tool = script(tmp_path, "trap 'echo stopped; exit 130' INT; for i in $(seq 100); do sleep 0.1; done", limits)
    started = time.monotonic()
    outcome = tool.run("x", "secret", ("check",), time=timedelta(seconds=of_one) if of_one else None)
    assert (outcome.status, outcome.output, outcome.late) == (130, "stopped\n", True)
    assert time.monotonic() - started < 8
    error = restic.failure("check", outcome)
    assert "its time was over" in error.message
    assert "[restic] time" in error.guidance


def test_a_memory_limit_holds(tmp_path: Path) -> None:
    tool = script(tmp_path, "ulimit -d", Limits(memory=512 << 20))
    assert tool.run("x", "secret", ()).output == f"{512 << 10}\n"


def test_a_real_restic_that_needs_more_memory_than_it_may_have_is_told_as_that(tmp_path: Path) -> None:
    location, password = str(tmp_path / "repository"), "secret"
    plenty = restic.find()
    plenty.demand(location, password, ("init",))
    (key,) = (tmp_path / "repository/keys").iterdir()
    dear = cheaper_key(key.read_bytes(), password, n=1 << 18)  # scrypt takes 256 MB
    key.unlink()
    key.with_name(hashlib.sha256(dear).hexdigest()).write_bytes(dear)
    with pytest.raises(ResticError, match=r"cannot allocate memory|pthread_create failed") as caught:
        restic.find("restic", Limits(memory=128 << 20)).demand(location, password, restic.snapshots_argv())
    assert "raise [restic] memory_mib" in caught.value.guidance
    assert restic.parse_snapshots(plenty.demand(location, password, restic.snapshots_argv())) == ()


def test_a_crash_is_told_by_its_first_words_and_not_by_its_stacks(tmp_path: Path) -> None:
    first = "runtime/cgo: pthread_create failed: Resource temporarily unavailable"
    tool = script(tmp_path, f'echo "{first}" >&2; seq 5000 >&2; exit 2', Limits())
    with pytest.raises(ResticError, match=f"status 2: {first}\n") as caught:
        tool.demand("x", "secret", ("snapshots",))
    assert "raise [restic] memory_mib" in caught.value.guidance


def test_the_password_is_in_the_environment_alone(tmp_path: Path) -> None:
    tool = script(tmp_path, 'echo "$RESTIC_PASSWORD"; tr "\\0" " " < /proc/$$/cmdline', Limits())
    password, argv = tool.run("x", "secret", ("check",)).output.splitlines()
    assert password == "secret"
    assert "secret" not in argv


@pytest.mark.parametrize(
    ("errors", "output", "status", "why"),
    [
        (
            "Load(<data/c2>, 248, 0) failed: unexpected HTTP response (403): 403 Forbidden\n",
            "",
            1,
            "unexpected HTTP response (403): 403 Forbidden",
        ),
        ('Load(<data/c2>, 248, 0) failed: Get "http://h/k?…": connection refused\n', "", 1, 'Get "http://h/k?…": connection refused'),
        ("Load(<data/c2>, 248, 0) failed: refused\n", '{"message_type":"summary","broken_packs":["c2"]}\n', 1, ""),
        ("Load(<data/c2>, 248, 0) failed: refused\n", "", 0, ""),
        ("Load(<data/c2>, 248, 0) returned error, retrying after 1s: refused\n", "", 1, ""),
        ("Load(<index/c2>, 0, 0) failed: refused\n", "", 1, ""),
    ],
    ids=["refused", "gone", "read, and broken", "done without", "repeated", "not a pack"],
)
def test_what_could_not_be_read_is_told_apart_from_what_is_broken(errors: str, output: str, status: int, why: str) -> None:
    assert restic.unread(Outcome(status, output, errors)) == why


def test_an_error_with_a_trace_is_told_by_what_it_was_and_not_by_where() -> None:
    said = "Load(<data/c2>, 0, 0) failed: 403\nunexpected HTTP response (403): 403 Forbidden\nReadFull(<data/c2>)\n"
    said += "github.com/restic/restic/internal/repository.(*Repository).loadBlob\n\tgithub.com/restic/x.go:270\nruntime.goexit\n\truntime/asm.s:1700\n"
    assert restic.last_words(restic.Outcome(1, "", said)) == "ReadFull(<data/c2>): unexpected HTTP response (403): 403 Forbidden"


def test_a_presigned_url_in_its_errors_is_cut(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/b/k?X-Amz-Algorithm=x&X-Amz-Signature=f00&versionId=1"
    outcome = script(tmp_path, f"echo 'Get \"{url}\": refused' >&2; exit 1", Limits()).run("x", "secret", ())
    assert restic.last_words(outcome) == 'Get "http://127.0.0.1:1/b/k?…": refused'


@pytest.mark.parametrize(
    ("status", "errors", "says"),
    [
        (12, '{"message_type":"exit_error","code":12,"message":"Fatal: wrong password"}', "wrong password"),
        (10, "Fatal: repository does not exist", "restic init"),
        (1, "Fatal: pack damaged\n", "pack damaged"),
        (-9, "", "stopped from outside, or by the kernel, for want of memory"),
        (2, "panic: oh no\n\ngoroutine 1 [running]:\nmain.go:1 +0x1\n", "panic: oh no"),
    ],
)
def test_a_failure_is_told_with_what_to_do(status: int, errors: str, says: str) -> None:
    error = restic.failure("check", Outcome(status, "", errors))
    assert isinstance(error, ResticError)
    assert says in str(error)
    assert error.exit_code == 4


def test_a_check_that_was_ended_or_crashed_is_no_verdict() -> None:
    assert restic.is_sound(Outcome(0, "", ""))
    assert not restic.is_sound(Outcome(1, "", "Fatal: repository contains errors"))
    for outcome in (Outcome(2, "", "fatal error: out of memory\n\ngoroutine 1"), Outcome(-9, "", ""), Outcome(130, "", "")):
        with pytest.raises(ResticError, match="restic check ended with status"):
            restic.is_sound(outcome)


def test_a_repository_without_snapshots_has_nothing_to_forget() -> None:
    assert restic.parse_policy("\n") == restic.Proposal((), {})


def test_a_restic_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigurationError, match="no 'no-such-restic' on PATH"):
        restic.find("no-such-restic")
