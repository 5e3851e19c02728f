"""What lies between nights: futures, replays, garbage, attacks during a run, backups in flight, and what was there before us."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from maintainer.core.job import Keep
from maintainer.core.records import ADOPTED, State
from maintainer.format.crypto import encrypt
from maintainer.sandbox.daemon import Sandbox
from tests.support.agents import Maintained, Ran
from tests.support.killing import run_and_kill
from tests.support.patience import PATIENCE_S
from tests.support.repositories import BOTH, RESTIC, Repository


@pytest.fixture
def repository(timed_sandbox: Sandbox, tmp_path: Path) -> Repository:
    made = Repository(timed_sandbox, f"h-{uuid.uuid4().hex[:12]}", tmp_path)
    made.init()
    return made


def grow(repository: Repository, count: int = 1, *, start: int = 1, good: bool = True) -> list[str]:
    """Back up a tree that loses one file and gains another each time."""
    made = []
    for seed in range(start, start + count):
        repository.write(f"file{seed}", 120_000, seed)
        (repository.source / f"file{seed - 2}").unlink(missing_ok=True)
        made.append(repository.backup(good=good))
    return made


def watched(repository: Repository, **more: object) -> Maintained:
    made = Maintained(repository, **more)  # type: ignore[arg-type]
    made.expect_host()
    assert made.run().code == 0
    return made


def whole(repository: Repository, *but: str) -> None:
    for snapshot in repository.trees:
        if snapshot not in but:
            repository.verify(snapshot)


def forget_the_first(maintained: Maintained) -> Ran:
    """Live on until all but the last snapshot are forgotten."""
    maintained.pass_days(15)
    ran = maintained.run()
    assert ran.named("snapshot.forgotten"), ran.why()
    return ran


def test_attack_13_a_replay_of_what_was_pruned_is_marked_again(repository: Repository) -> None:
    (oldest, newest) = grow(repository, 2)
    before = {key: repository.get(key) for key in repository.objects() if key.partition("/")[0] in ("snapshots", "index", "data")}
    maintained = watched(repository, keep=Keep(last=1))
    forget_the_first(maintained)
    maintained.pass_days(23)
    assert maintained.run().code == 0
    gone = set(before) - set(repository.objects())
    assert {key.partition("/")[0] for key in gone} == {"snapshots", "index", "data"}
    for key in gone:
        repository.put(key, before[key])
    ran = maintained.run()
    assert ran.code == 3
    assert set(ran.findings()) == {"replayed"}
    assert not gone & set(repository.objects())
    assert maintained.run().code == 0
    repository.verify(newest)
    assert oldest


def test_attack_11_garbage_is_evicted_and_the_run_goes_on(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    bomb = encrypt(repository.master_key(), b'{"time":"x"}', os.urandom(16))
    body = b"garbage"
    name = hashlib.sha256(body).hexdigest()
    for folder in ("snapshots", "index", "locks", "keys"):
        repository.put(f"{folder}/{name}", body)
    repository.put("snapshots/" + "0" * 64, body)
    repository.put(f"snapshots/{hashlib.sha256(bomb).hexdigest()}", bomb)
    ran = maintained.run()
    assert ran.findings() == ["garbage"] * 5, ran.why()
    assert sorted(key.partition("/")[0] for key in repository.objects() if name in key or "0" * 64 in key) == ["locks"]
    assert maintained.run().code == 0
    repository.s3().delete_object(Bucket=repository.sandbox.bucket, Key=f"{repository.prefix}/locks/{name}")  # plain restic panics over it
    whole(repository)


def test_attack_4_a_hidden_snapshot_comes_back_though_plain_check_would_not_miss_it(repository: Repository) -> None:
    (first, _) = grow(repository, 2)
    maintained = watched(repository)
    repository.hide(f"snapshots/{first}")
    assert maintained.run().findings() == ["hidden"]
    whole(repository)


@pytest.mark.long
def test_attack_17_an_attack_during_a_run_harms_neither_it_nor_the_next(repository: Repository) -> None:
    grow(repository, 3)
    maintained = watched(repository)
    for step in ("forget", "prune", "check", "commit"):
        process = maintained.start()
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(json.loads(line))
            if lines[-1]["event"] == "step.started" and lines[-1]["step"] == step:
                process.send_signal(signal.SIGSTOP)
                for key in repository.objects("data/") + repository.objects("index/"):
                    repository.put(key, os.urandom(50))
                process.send_signal(signal.SIGCONT)
        assert process.wait() == 0, step
        healed = maintained.run()
        assert (healed.code, set(healed.findings())) == (3, {"overwritten"})
        whole(repository)
    assert maintained.run().code == 0


def test_a_backup_in_flight_across_a_run_gets_its_packs_back(repository: Repository) -> None:
    """Its packs are seen unindexed, and doomed; then its index and snapshot arrive."""
    grow(repository, 2)
    maintained = watched(repository)
    late = late_upload(repository)
    next(late)  # packs are there
    ran = maintained.run()
    doomed = [key for key, record in maintained.fold().records.items() if record.state is State.DOOMED]
    assert ran.code == 0
    assert any(key.startswith("data/") for key in doomed)
    next(late, None)  # index and snapshot arrive
    ran = maintained.run()
    assert ran.named("object.taken_back"), ran.why()
    assert "incomplete-snapshot" not in ran.findings()
    maintained.pass_days(9)
    maintained.run()
    maintained.pass_days(18)
    assert maintained.run().code == 0
    whole(repository)


def test_a_real_backup_that_runs_on_through_two_nights_is_whole_and_no_attack(repository: Repository) -> None:
    """restic itself, fed slowly: its packs are doomed and marked as they come, the indexes that it began with too, and then it ends."""
    grow(repository, 3)
    maintained = watched(repository, keep=Keep(last=1))
    content, held = random.Random(5).randbytes(14 << 20), 10 << 20
    before = set(repository.objects("data/"))
    command = [
        RESTIC,
        "-r",
        repository.location,
        "--no-cache",
        "backup",
        "--json",
        "--pack-size",
        "4",
        "--stdin",
        "--stdin-filename",
        "dump",
    ]
    told, two_nights = repository.root / "told", threading.Event()

    def feed(backup: IO[bytes]) -> None:
        with backup:
            for at in range(0, held, 1 << 18):
                backup.write(content[at : at + (1 << 18)])
                backup.flush()
                two_nights.wait(0.1)
            two_nights.wait()
            backup.write(content[held:])

    # A file: restic tells its progress all the while, and stops at a pipe that is full.
    with told.open("wb") as output, subprocess.Popen(command, env=repository.environment(), stdin=subprocess.PIPE, stdout=output) as backup:
        assert backup.stdin is not None
        feeder = threading.Thread(target=feed, args=[backup.stdin])
        feeder.start()
        try:
            while not set(repository.objects("data/")) - before:
                time.sleep(0.2)
                assert backup.poll() is None
            forget_the_first(maintained)
            maintained.pass_days(23)
            ran = maintained.run()
        finally:
            two_nights.set()
            feeder.join()
        assert ran.code == 0, (ran.findings(), ran.why())
        assert backup.wait() == 0
    snapshot = json.loads(told.read_bytes().splitlines()[-1])["snapshot_id"]
    ran = maintained.run()
    assert ran.named("object.taken_back"), (ran.findings(), ran.why())
    assert set(ran.findings()) == {"index-names-doomed-packs", "suspect-snapshot"}, ran.why()  # it came weeks after the time that it claims
    for days in (31, 39):
        maintained.pass_days(days)
        ran = maintained.run()
        assert ran.findings() == [], ran.why()
    target = repository.root / "dumped"
    repository.restic("restore", snapshot, "--target", str(target))
    assert (target / "dump").read_bytes() == content


def late_upload(repository: Repository) -> Iterator[None]:
    """Yield once a new backup's packs alone are in the bucket; its index and snapshot follow."""
    before = set(repository.objects())
    repository.write("late", 300_000, 99)
    repository.backup()
    new = [key for key in repository.objects() if key not in before]
    bodies = {key: repository.get(key) for key in new if not key.startswith("data/")}
    erase(repository, list(bodies))
    yield
    for key, body in sorted(bodies.items()):
        repository.put(key, body)


def erase(repository: Repository, keys: list[str]) -> None:
    """Remove every version, as if the upload had not happened yet."""
    s3 = repository.s3("admin")
    for key in keys:
        for page in s3.get_paginator("list_object_versions").paginate(
            Bucket=repository.sandbox.bucket, Prefix=f"{repository.prefix}/{key}"
        ):
            for version in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                s3.delete_object(Bucket=repository.sandbox.bucket, Key=version["Key"], VersionId=version["VersionId"])


def test_a_backup_that_relied_on_a_forgotten_snapshots_packs_is_whole(repository: Repository) -> None:
    """It began before the run, deduplicated against what the run then doomed, and ended after the packs' indexes were marked."""
    grow(repository, 2)
    maintained = watched(repository, keep=Keep(last=1))
    (repository.source / "file1").write_bytes(b"")  # a third, without the first's data
    grow(repository, 1, start=3)
    old = repository.root / "old"
    shutil.copytree(next(iter(repository.trees.values())), old)
    source = repository.source
    before = set(repository.objects())
    shutil.rmtree(source)
    shutil.copytree(old, source)
    snapshot = repository.backup()
    new = [key for key in repository.objects() if key not in before]
    bodies = {key: repository.get(key) for key in new}
    erase(repository, new)
    forget_the_first(maintained)
    for key, body in bodies.items():
        repository.put(key, body)
    ran = maintained.run()
    assert not ran.named("snapshot.incomplete"), ran.why()
    maintained.pass_days(40)
    maintained.run()
    maintained.pass_days(50)
    assert maintained.run().code in (0, 3)
    repository.verify(snapshot)


def test_a_snapshot_that_lacks_data_is_incomplete_told_and_stops_nothing(repository: Repository) -> None:
    grow(repository, 1)
    maintained = watched(repository)
    before = set(repository.objects())
    repository.write("broken", 200_000, 50)
    broken = repository.backup(good=False)
    erase(repository, [key for key in repository.objects("data/") if key not in before])
    erase(repository, [key for key in repository.objects("index/") if key not in before])
    ran = maintained.run()
    assert ran.code == 3
    assert ran.findings() == ["incomplete-snapshot"]
    assert maintained.fold().records[f"snapshots/{broken}"].state is State.INCOMPLETE
    assert maintained.run().findings("open") == ["incomplete-snapshot"]
    whole(repository)


def test_attack_31_an_incomplete_snapshot_writes_nothing_night_after_night_and_keeps_no_pack_for_ever(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository, keep=Keep(last=1))
    forget_the_first(maintained)
    doomed = {key for key in maintained.fold().having(State.DOOMED) if key.startswith("data/")}
    assert doomed
    before = set(repository.objects())
    grow(repository, 1, start=50, good=False)
    erase(repository, [key for key in repository.objects("data/") if key not in before])
    erase(repository, [key for key in repository.objects("index/") if key not in before])
    assert maintained.run().findings() == ["incomplete-snapshot"]
    versions = repository.versions()
    for _ in range(2):
        assert maintained.run().findings() == []
    assert repository.versions() == versions
    maintained.pass_days(28)
    maintained.run()
    assert doomed <= set(repository.objects("data/"))  # held while the snapshot is undecided
    maintained.pass_days(31)
    maintained.run()
    assert not doomed & set(repository.objects("data/"))
    repository.verify(list(repository.trees)[-1])


@pytest.mark.matrix
@BOTH
def test_attack_19_under_an_emptied_state_store_nothing_is_forgotten_and_healing_goes_on(repository: Repository, restic: str) -> None:
    repository.binary = restic
    grow(repository, 4)
    maintained = watched(repository, keep=Keep(last=2))
    forget_the_first(maintained)
    maintained.pass_days(23)
    assert maintained.run().code == 0
    before = {key.removeprefix(f"{repository.prefix}/") for key, _ in repository.markers()}
    assert {key.partition("/")[0] for key in before} >= {"snapshots", "data", "index"}
    left = {snapshot: tree for snapshot, tree in repository.trees.items() if f"snapshots/{snapshot}" in repository.objects("snapshots/")}
    repository.trees = left
    repository.put(repository.objects("data/")[0], b"garbage")
    elsewhere = Maintained(repository, keep=Keep(last=1), name=f"{repository.prefix}-other")
    elsewhere.expect_host()
    ran = elsewhere.run()
    assert (ran.code, set(ran.findings())) == (3, {"earlier-ledger", "hidden-before-first-contact", "overwritten"}), ran.why()
    assert not ran.named("object.marked")
    whole(repository)
    elsewhere.pass_days(50)
    again = elsewhere.run()
    assert (again.code, again.findings(), "earlier-ledger" in again.findings("open")) == (0, [], True), again.why()
    assert not again.named("snapshot.forgotten")
    assert before.isdisjoint(repository.objects()), "what lay under a marker does so still"
    whole(repository)
    elsewhere.accept()
    ran = elsewhere.run()
    assert (ran.code, ran.findings("gone")) == (0, ["earlier-ledger"]), ran.why()
    assert ran.named("snapshot.forgotten")
    repository.trees = dict([list(left.items())[-1]])
    whole(repository)


def test_after_a_rebase_the_policy_applies_and_what_lies_under_markers_is_kept_for_a_person(repository: Repository) -> None:
    """Also where the first run under the new ledger died as soon as it had put entry 0: the next is first contact still."""
    grow(repository, 4)
    maintained = watched(repository, keep=Keep(last=2))
    forget_the_first(maintained)
    before = {key for key in (key.removeprefix(f"{repository.prefix}/") for key, _ in repository.markers()) if not key.startswith("locks/")}
    hidden = next(key for key in before if key.startswith("snapshots/"))
    elsewhere = Maintained(repository, keep=Keep(last=1), name=f"{repository.prefix}-other")
    elsewhere.expect_host()
    for number in range(9):
        if not elsewhere.fold().head[0]:
            assert run_and_kill(elsewhere.job().encode(), number, "after") is None
    assert elsewhere.fold().head[0] == 1
    elsewhere.judge("rebase", "maintainer/of-the-lost-ledger")
    ran = elsewhere.run()
    assert (ran.code, ran.findings()) == (3, ["hidden-before-first-contact"]), ran.why()
    assert not ran.named("object.marked")
    assert {key for key, record in elsewhere.fold().records.items() if record.reason == ADOPTED} == before
    elsewhere.pass_days(60)
    ran = elsewhere.run()
    assert ran.named("snapshot.forgotten"), ran.why()
    assert {key for key in elsewhere.fold().released if key in before} == set()
    elsewhere.judge("undelete", *before)
    assert elsewhere.run().code == 0
    assert hidden in repository.objects("snapshots/")


ID = hashlib.sha256(b"what nobody wrote").hexdigest()
FORGED = b"an earlier ledger"


@pytest.mark.parametrize("decision", ["accept", "wait"])
def test_an_identity_that_a_host_forges_before_first_contact_stops_nobody(repository: Repository, decision: str) -> None:
    grow(repository, 3)
    repository.put(f"maintainer/{hashlib.sha256(FORGED).hexdigest()}", FORGED)
    for number in range(120):
        repository.put(f"maintainer/{number:064x}", b"litter")
    maintained = Maintained(repository, keep=Keep(last=1))
    maintained.expect_host()
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (3, ["earlier-ledger"]), ran.why()
    maintained.pass_days(15)
    if decision == "wait":
        grow(repository, 1, start=9)
        ran = maintained.run()
        assert ran.code == 0, ran.named("finding.reported")
        assert (ran.findings("open"), ran.named("snapshot.forgotten")) == (["earlier-ledger"], []), ran.why()
    else:
        maintained.accept()
        ran = maintained.run()
        assert ran.code == 0, ran.why()
        assert ran.named("snapshot.forgotten")
        repository.trees = dict([list(repository.trees.items())[-1]])
    whole(repository)


def test_an_identity_that_a_host_forges_later_says_nothing(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository, keep=Keep(last=1))
    maintained.pass_days(1)
    repository.put(f"maintainer/{hashlib.sha256(FORGED).hexdigest()}", FORGED)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == (0, []), ran.why()
    assert forget_the_first(maintained).code == 0


def test_an_altered_ledger_entry_changes_nothing_and_a_broken_chain_stops_the_run(repository: Repository) -> None:
    grow(repository, 1)
    maintained = watched(repository)
    s3 = repository.s3("admin")
    bucket, key = repository.sandbox.state_bucket, f"{maintained.state._root}ledger/00000001"
    s3.put_object(Bucket=bucket, Key=key, Body=b"forged")
    assert maintained.run().code == 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        for version in page["Versions"]:
            s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])
    before = repository.versions()
    ran = maintained.run()
    assert ran.code == 4
    assert "ledger" in ran.why()
    assert repository.versions() == before


@pytest.mark.matrix
@pytest.mark.parametrize("decision", ["undelete", "accept"])
def test_what_was_hidden_before_first_contact_waits_for_a_person(repository: Repository, decision: str) -> None:
    (first,) = grow(repository, 1)
    exclusive = repository.objects("data/") + repository.objects("index/")
    (second, third) = grow(repository, 2, start=2)
    for key in (*exclusive, f"snapshots/{first}", f"snapshots/{second}"):
        repository.hide(key)
    maintained = watched_with(repository, 3)
    assert maintained.fold().findings["hidden-before-first-contact:2 snapshots"].finding.detail == ", ".join(sorted((first, second)))
    assert maintained.run().findings("new") == []
    repository.verify(third)
    if decision == "undelete":
        known = maintained.fold().having(State.DOOMED)
        maintained.judge("undelete", *known)
        assert maintained.run().code == 0
        whole(repository)
    else:
        maintained.accept()
        assert maintained.run().code == 0
        assert not set(exclusive) & set(repository.objects())


def watched_with(repository: Repository, code: int) -> Maintained:
    made = Maintained(repository)
    made.expect_host()
    ran = made.run()
    assert ran.code == code, ran.why()
    return made


def test_attack_18_two_runs_at_once_lose_nothing(repository: Repository) -> None:
    grow(repository, 3)
    maintained = watched(repository, keep=Keep(last=1))
    maintained.pass_days(15)
    repository.put(repository.objects("data/")[0], b"garbage")
    both = [maintained.start() for _ in range(2)]
    ran = [maintained.finish(process) for process in both]
    assert sorted(one.code for one in ran) in ([3, 4], [0, 3], [3, 3]), [one.why() for one in ran]
    assert maintained.run().code in (0, 3)
    assert maintained.run().code == 0
    newest = list(repository.trees)[-1]
    repository.verify(newest)


def test_secrets_are_nowhere(repository: Repository) -> None:
    """Not in events, not on standard error, not in the state store, and not in any process's arguments."""
    repository.write("file", 50_000, 1)
    repository.backup()
    maintained = Maintained(repository)
    process = maintained.start()
    arguments = []
    while process.poll() is None:
        listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        arguments.append(listing)
        time.sleep(0.2)
    ran = maintained.finish(process)
    secret = repository.password
    key = repository.sandbox.credentials["maintenance"].secret_access_key
    kept = maintained.state.events(next(iter(maintained.state.runs()))).decode()
    told = "".join(str(event) for event in ran.events) + ran.errors + kept + "".join(arguments)
    for word in (secret, key):
        assert word not in told
    assert len(arguments) > 3


def test_a_traceback_shows_no_secret(repository: Repository) -> None:
    maintained = Maintained(repository)
    breaks = """
import sys
from maintainer.agent import main

def maintain(run, password):
    word = password()
    raise RuntimeError(f"unexpected, of {len(word)} letters")

main.maintain = maintain
sys.exit(main.main())
"""
    broken = subprocess.run(
        [sys.executable, "-c", breaks],
        input=maintained.job().encode() + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert broken.returncode == 1
    assert "RuntimeError" in broken.stderr
    assert repository.password not in broken.stdout + broken.stderr


@pytest.mark.parametrize("settled", [False, True], ids=["nobody has looked", "a person has settled it"])
def test_what_a_run_found_that_was_ended_is_news_in_the_next(repository: Repository, settled: bool) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    forged = f"snapshots/{ID}"
    repository.put(forged, b"junk")
    repository.put(repository.objects("data/")[0], b"junk")
    process = maintained.start()
    assert process.stdout is not None
    for line in process.stdout:
        told = json.loads(line)
        if told["event"] == "step.started" and told["step"] == "freeze":
            process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 143
    assert maintained.fold().records[forged].state is State.EVICTED, "that was before it was ended"
    if settled:
        maintained.judge("ack", *maintained.fold().findings)
    ran = maintained.run()
    assert (ran.code, ran.findings()) == ((0, []) if settled else (3, ["garbage", "overwritten"])), ran.why()
    again = maintained.run()
    assert (again.code, again.findings()) == (0, []), again.why()
    whole(repository)


def test_a_location_at_which_nothing_lies_is_told_as_that(repository: Repository) -> None:
    grow(repository, 2)
    maintained = watched(repository)
    job = maintained.job()
    (one,) = job.repositories
    elsewhere = replace(one, place=replace(one.place, prefix=f"{one.place.prefix}-mistyped"))
    ran = maintained.run(replace(job, repositories=(elsewhere,)))
    assert ran.code == 2
    assert "nothing at all lies at" in ran.why()
    assert maintained.run().code == 0
