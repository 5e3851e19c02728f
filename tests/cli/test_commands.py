"""The commands as a user calls them, on a repository made by hand in a sandbox of its own, through weeks."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maintainer.core.amounts import counted
from maintainer.edges.compute.local import LocalAgent
from maintainer.format.crypto import decrypt, encrypt
from maintainer.sandbox.daemon import Sandbox
from maintainer.settings.load import load
from tests.support.agents import UNGUARDED
from tests.support.buckets import client
from tests.support.commands import command
from tests.support.patience import PATIENCE_S, until
from tests.support.processes import agent_of, is_pending, runs_restic, stop
from tests.support.repositories import Repository

COMMAND = Path(sys.executable).with_name("maintainer")


class User:
    """A user at a shell, with one repository in a copy of the configuration that the sandbox wrote, and a ledger of its own."""

    def __init__(self, sandbox: Sandbox, tmp_path: Path, *, fast: bool = True) -> None:
        self.sandbox = sandbox
        apart = uuid.uuid4().hex[:12]
        self.repository = Repository(sandbox, f"{apart}/web", tmp_path)
        self.repository.init(fast=fast)
        (tmp_path / "password").write_text(self.repository.password)
        self.config = tmp_path / "maintainer.toml"
        self.config.write_text(
            Path(sandbox.config).read_text().replace('/sandbox"', f'/{apart}"')
            + f'[[repository]]\nname = "web"\nlocation = "{self.repository.location}"\npassword = "file:{tmp_path}/password"\n'
            + f"{UNGUARDED}[repository.keep]\nlast = 1\n"
        )

    def __call__(self, *words: str, code: int = 0) -> str:
        returned, output, errors = command(str(self.config), *words)
        assert returned == code, (words, returned, output, errors)
        return output + errors

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "MAINTAINER_CONFIG": str(self.config)}
        return subprocess.Popen([COMMAND, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def clock(self, offset: str) -> None:
        self("sandbox", "clock", offset, "--directory", self.sandbox.directory)


@pytest.fixture
def user(timed_sandbox: Sandbox, tmp_path: Path) -> User:
    return User(timed_sandbox, tmp_path)


def test_a_month_in_the_life_of_a_repository(user: User) -> None:
    repository = user.repository
    for seed in (1, 2):
        repository.write(f"file{seed}", 150_000, seed)
        repository.backup()
    assert "nothing was changed" in user("plan")
    assert "confirm-repository" in user("run", "--once", code=3)
    assert "maintainer accept web" in user("status", code=3)
    assert "confirms web1" in user("accept", "web")
    told = user("status", code=0)
    assert "decided: accept, by " in told
    assert "Then: `maintainer accept" not in told
    assert "1 judgement since the last run" in told
    assert "to forget" in user("run", "--once", code=0)
    assert "judgement" not in user("status", code=0)

    user.clock("+15d")
    repository.put(repository.objects("data/")[0], b"garbage")
    assert "would heal data" in user("plan")
    told = user("run", "--once", code=3)
    assert "healed data" in told
    assert "forgot snapshot" in told
    assert "healed data" in user("logs", "last")
    assert "overwritten" not in user("run", "--once", code=0)
    assert "entries and 1 judgement verified" in user("ledger", "verify")
    packs = set(repository.objects("data/"))
    coming = json.loads(user("status", "--json"))[0]["to_delete"]
    assert f"{counted(len(coming), 'pack')} that no snapshot needs: to delete on" in user("status")

    user.clock("+23d")
    user("run", "--once", code=0)
    assert set(repository.objects("data/")) < packs
    assert "to delete" not in user("status")
    newest = list(repository.trees)[-1]
    repository.verify(newest)


def begin(user: User, size: int = 150_000) -> Repository:
    """Back up once, and let a person accept what the first run saw."""
    user.repository.write("file1", size, 1)
    user.repository.backup()
    user("run", "--once", code=3)
    assert "confirms web1 with " in user("accept", "web")
    return user.repository


def test_suspects_are_endorsed_by_what_speaks_against_them_or_by_their_days_after_a_look_at_each(user: User) -> None:
    repository = begin(user)
    user("run", "--once", code=0)
    foreign = [repository.backup(host="laptop") for _ in range(2)]
    assert "NEW: suspect-snapshot (not-expected): " in user("run", "--once", code=3)
    assert "no suspect snapshot" in user("endorse", "web", "crowded", code=2)
    assert "an id beside a class or a span" in user("endorse", "web", "not-expected", foreign[0], code=2)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert "no suspect snapshot" in user("endorse", "web", "2001-01-01..2001-02-01", code=2)
    assert user("endorse", "web", today) == user("endorse", "web", "not-expected")
    shown = user("endorse", "web", "not-expected")
    for snapshot in foreign:
        assert re.search(
            f"endorses snapshots/{snapshot[:8]} of {today} .* by laptop, .* KiB.*: host 'laptop' with .* is not expected", shown
        )
    (code,) = re.findall("--confirm ([0-9a-f]{6}) to do it", shown)
    assert "the code for these snapshots" in user("endorse", "web", "not-expected", "--confirm", "000000", code=2)
    assert "the next run heeds it" in user("endorse", "web", "not-expected", "--confirm", code)
    user("run", "--once", code=0)
    assert "no suspect snapshot" in user("endorse", "web", "not-expected", code=2)


def test_a_second_accept_confirms_no_host_that_came_since_but_by_its_name(user: User) -> None:
    repository = begin(user)
    user("run", "--once", code=0)
    foreign = repository.backup(host="laptop")
    user("run", "--once", code=3)
    for _ in range(2):
        told = user("accept", "web")
        assert "web is accepted already: nothing waits for it" in told
        assert "laptop with " in told
        assert "is not confirmed: `maintainer accept web laptop` does it" in told
    assert "nothing of that name was reported" in user("accept", "web", "desktop", code=2)
    process = user.start("serve", "web", "--json")
    assert process.stdout is not None
    said = json.loads(process.stdout.readline())["suspect"]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert [*said] == [f"snapshots/{foreign}"], "a view says which of its snapshots are doubted"
    assert "is not expected" in said[f"snapshots/{foreign}"]
    assert "no snapshot" in user("endorse", "web", foreign[:5], code=2), "a slip of the finger decides on nothing"
    assert "confirms laptop with " in user("accept", "web", "laptop")
    assert "1 judgement since the last run" in user("status", code=3)
    user("run", "--once", code=0)
    assert "suspect" not in user("status")
    assert "nothing waits for it" in user("accept", "web")


def test_json_is_the_event_stream_and_closes_with_the_exit_code(user: User) -> None:
    lines = [json.loads(line) for line in user("run", "--once", "--json", code=0).splitlines()]
    agent = [line for line in lines if line["source"] == "agent"]
    assert [line["seq"] for line in agent] == list(range(1, len(agent) + 1))
    assert (lines[-1]["event"], lines[-1]["source"], lines[-1]["exit_code"]) == ("run.closed", "controller", 0)


def test_serve_shows_the_truth_in_the_middle_of_an_attack(user: User) -> None:
    repository = user.repository
    repository.write("file", 150_000, 1)
    snapshot = repository.backup()
    user("run", "--once", code=3)
    for key in (*repository.objects("data/"), *repository.objects("index/"), "config"):
        repository.put(key, b"garbage")
    process = user.start("serve", "web", "--json")
    assert process.stdout is not None
    try:
        address = json.loads(process.stdout.readline())["repository"]
        for _ in range(2):  # the attacker keeps overwriting
            repository.verify(snapshot, location=address)
            for key in (*repository.objects("data/"), *repository.objects("index/"), *repository.objects("snapshots/")):
                repository.put(key, os.urandom(50))
        before = repository.versions()
        refused = repository.restic("forget", snapshot, location=address, check=False)
        assert "403" in refused.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert repository.versions() == before


def test_undelete_takes_back_what_was_forgotten(user: User) -> None:
    repository = user.repository
    repository.write("stays", 150_000, 0)
    for seed in (1, 2):
        repository.write("file", 150_000, seed)
        repository.backup()
    user("run", "--once", code=3)
    user("accept", "web")
    user.clock("+15d")
    plan = user("plan")
    oldest = next(iter(repository.trees))
    assert f"would forget snapshot {oldest[:8]}" in plan
    assert f"web1 {repository.source}: what came in the last 14 days is kept, whatever the policy says: 0 snapshots. " in plan
    assert "The policy speaks of the 2 before them" in plan
    user("run", "--once", code=0)
    assert f"snapshots/{oldest}" not in repository.objects()
    user("undelete", "web", oldest[:12])
    user("run", "--once", code=0)
    repository.verify(oldest)


def test_a_person_settles_what_the_guard_will_not_decide(user: User) -> None:
    """One snapshot that shrank for a good reason, and one that is none of ours."""
    repository = begin(user, 300_000)
    (repository.source / "file1").unlink()
    repository.write("file2", 10_000, 2)
    small = repository.backup()
    foreign = repository.backup(host="mallory", good=False)
    told = user("run", "--once", code=3)
    plan = user("plan")
    assert "1 snapshot, the first of them until" in plan
    assert "1 suspect: kept, and counting for nothing" in plan
    assert f"snapshots/{small[:8]} is suspect: holds " in plan
    assert "it has shrunk" in told
    assert "host 'mallory'" in told
    user("endorse", "web", small[:10])
    shown = user("reject", "web", foreign[:10])
    assert "nothing was done" in shown
    assert "host 'mallory'" in shown
    code = shown.rpartition("--confirm ")[2].split()[0]
    assert "code for these snapshots" in user("reject", "web", small[:10], "--confirm", code, code=2)
    user("reject", "web", foreign[:10], "--confirm", code)
    user("run", "--once", code=0)
    assert f"snapshots/{foreign}" not in repository.objects()
    assert user("status", code=0).count("!") == 0
    repository.backup()
    assert "shrunk" not in user("run", "--once", code=0)
    assert "a snapshot that is doomed" in user("endorse", "web", foreign[:10], code=2)
    for snapshot in repository.trees:
        repository.verify(snapshot)


def test_ack_makes_a_finding_no_news(user: User) -> None:
    user.repository.put("notes.txt", b"x")
    assert "foreign-name" in user("run", "--once", code=3)
    user("ack", "web", "foreign-name")
    user("run", "--once", code=0)
    assert "foreign-name" not in user("status", code=0)
    name = hashlib.sha256(b"junk").hexdigest()
    user.repository.put(f"index/{name}", b"junk")
    told = user("run", "--once", code=3)
    assert f"NEW: garbage: index/{name[:8]}" in told
    assert "no such finding" in user("ack", "web", "garbage:index/00000000", code=2)
    user("ack", "web", f"garbage:index/{name[:8]}")
    assert "garbage" not in user("status", code=0)
    assert "an index that was not believed" in user("undelete", "web", f"index/{name[:8]}", code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ack", "web", "all"), "web: all: no such finding"),
        (("logs", "nosuch"), "run nosuch: no events of it"),
        (("serve", "wep"), "wep: unknown repository; expected `web`\n    → did you mean `web`?"),
        (("status", "--repository", "wep"), "--repository wep: unknown repository; expected `web`\n    → did you mean `web`?"),
        (("undelete", "web", "0000"), "web: 0000: no evicted, doomed or hidden file"),
    ],
)
def test_a_word_that_names_nothing_is_no_mistake_in_the_configuration(user: User, words: tuple[str, ...], said: str) -> None:
    told = user(*words, code=2)
    assert said in told
    assert "configuration" not in told


def test_a_signal_before_the_agent_heeds_signals_ends_it_in_order(user: User) -> None:
    agent = LocalAgent(load(user.config).job("r", load(user.config).repositories))
    agent.signal(signal.SIGINT)
    lines = list(agent.lines())
    assert agent.wait() == 130, agent.last_words()
    assert agent.last_words() == ""
    assert json.loads(lines[-1])["event"] == "run.closed"


@pytest.mark.matrix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order_and_the_next_one_commits(timed_sandbox: Sandbox, tmp_path: Path, number: signal.Signals) -> None:
    user = User(timed_sandbox, tmp_path, fast=False)
    repository = user.repository
    repository.write("file", 150_000, 1)
    snapshot = repository.backup()
    process = user.start("run", "--once", "--json")
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["event"] != "step.started":
        pass
    agent = agent_of(process.pid)
    until(lambda: runs_restic(agent, "check"))
    stop(agent)  # however slow we are, it has not committed
    process.send_signal(number)
    until(lambda: is_pending(agent, number))
    os.kill(agent, signal.SIGCONT)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + number, errors
    assert "run.committed" not in user("run", "--once", code=3)
    repository.verify(snapshot)


def test_a_killed_agent_is_lost_and_the_next_run_settles_it(user: User) -> None:
    process = user.start("run", "--once", "--json")
    assert process.stdout is not None
    events = []
    for line in process.stdout:
        events.append(json.loads(line))
        if events[-1]["event"] == "step.started" and events[-1]["step"] == "freeze":
            os.kill(agent_of(process.pid), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 6
    assert "agent.lost" in {event["event"] for event in events}
    user("run", "--once", code=0)


def test_accept_takes_a_changed_config_and_a_new_key_by_name_alone(user: User) -> None:
    repository = user.repository
    user("run", "--once", code=0)
    second = repository.root / "second"
    second.write_text("another")
    repository.restic("key", "add", "--new-password-file", str(second))
    key = repository.master_key()
    changed = encrypt(key, decrypt(key, repository.get("config")), os.urandom(16))
    repository.put("config", changed)
    told = user("run", "--once", code=3)
    assert "new-key" in told
    assert "overwritten: config" in told
    assert "accepts it as it is" in user("accept", "web")
    assert user("run", "--once", code=0)
    assert repository.get("config") != changed
    user("accept", "web", "nonsense", code=2)
    repository.put("config", changed)
    user("run", "--once", code=3)
    assert "accepts config" in user("accept", "web", "config")
    shown = user("status", code=3)
    (new,) = (one for one in repository.objects("keys/") if one in shown)
    user("accept", "web", new.rpartition("/")[2][:12])
    user("run", "--once", code=3)
    assert repository.get("config") == changed
    assert "new-key" not in user("run", "--once", code=0)


def test_what_many_objects_came_to_is_shown_and_verified_from_segments(user: User) -> None:
    repository = user.repository
    repository.write("file", 150_000, 1)
    repository.backup()
    for number in range(130):
        name = hashlib.sha256(str(number).encode()).hexdigest()
        repository.put(f"data/{name[:2]}/{name}", b"junk")
    user("run", "--once", code=3)
    records = [json.loads(line) for line in user("ledger", "show").splitlines() if line.startswith('{"segment"')]
    assert sum(one["record"]["state"] == "evicted" for one in records) == 130
    assert "0 judgements verified" in user("ledger", "verify")
    store, bucket = client(user.sandbox, "admin"), user.sandbox.state_bucket
    (key,) = (one["Key"] for one in store.list_objects_v2(Bucket=bucket)["Contents"] if records[0]["segment"] in one["Key"])
    store.delete_object(Bucket=bucket, Key=key, VersionId=store.head_object(Bucket=bucket, Key=key)["VersionId"])
    assert f"segment {records[0]['segment']} is missing" in user("ledger", "verify", code=4)
