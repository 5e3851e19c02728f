"""Any order of backups, attacks, runs, kills, an operator's own prune, judgements and expiry: no good snapshot is lost, no deletion comes back.

More of them: pytest --all, and LIVES=100 in the environment for still more.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from maintainer.core.job import Keep
from maintainer.core.records import State
from maintainer.drill import forge
from maintainer.edges.clock import SystemClock, write_offset
from maintainer.format.files import parse_snapshot
from maintainer.sandbox.daemon import Sandbox
from tests.attacks.test_release import expire
from tests.support.agents import Maintained, Ran
from tests.support.killing import When, run_and_kill
from tests.support.matrices import Rows
from tests.support.repositories import Repository

DAY = timedelta(days=1)
LAST, PROBATION = 3, 3
"""How many snapshots the policy keeps, and for how many days each stays whatever it says."""
WRITES = 40
"""Of one run, about: a kill is at one of them."""
CONTENTS = 4
"""A file comes back after so many backups: a host may find its pack still there, and doomed."""
PICKS = st.lists(st.integers(0, 10_000), min_size=1, max_size=4)


class Lives(RuleBasedStateMachine):
    """One repository, and what a person would say that it must still hold."""

    sandbox: Sandbox

    @initialize()
    def begin(self) -> None:
        """Have a first snapshot, known to maintainer."""
        self.place = Path(tempfile.mkdtemp(prefix="maintainer-lives-"))
        write_offset(Path(self.sandbox.directory) / "clock", 0)
        self.repository = Repository(self.sandbox, f"l-{uuid.uuid4().hex[:12]}", self.place)
        self.repository.init()
        self.maintained = Maintained(self.repository, keep=Keep(last=LAST))
        day = DAY.total_seconds()
        self.maintained.limits |= {"probation_s": PROBATION * day, "grace_s": day, "answer_s": 2 * day}
        self.maintained.expect_host()
        self.day = 0.0
        self.number = 0
        self.put: dict[str, datetime] = {}
        """When each good snapshot was put, but for those that a person let go."""
        self.gone: set[str] = set()
        """Keys that a run has let go of and marked."""
        self.roots: dict[str, str] = {}
        """The tree of each good snapshot that there ever was."""
        self.rejected: set[str] = set()
        """Snapshots that a person let go for good."""
        self.has_expired = False
        self.stolen: dict[str, bytes] = {}
        """Whatever was true in the bucket: an attacker may have kept it."""
        self.back_up()
        self.run()

    def moment(self) -> datetime:
        """Return a time in a second of its own, for a snapshot: restic's times are cut to seconds, and a policy keeps the last by its time."""
        self.day += 2 / 86_400
        self.maintained.pass_days(self.day)
        return self.now

    @property
    def now(self) -> datetime:
        """The sandbox's time."""
        return SystemClock(self.maintained.clock_file).now()

    @rule(days=st.integers(1, 12))
    def pass_days(self, days: int) -> None:
        """Let time pass."""
        self.day += days
        self.maintained.pass_days(self.day)

    @rule()
    def back_up(self) -> None:
        """Back up as the host; where what it finds there stops it, it has made no snapshot that counts."""
        repository, at = self.repository, self.moment()
        self.number += 1
        repository.write("stays", 60_000, 77)
        repository.write(f"file{self.number % CONTENTS}", 30_000, self.number % CONTENTS)
        (repository.source / f"file{(self.number - 2) % CONTENTS}").unlink(missing_ok=True)
        with suppress(AssertionError):
            made = repository.backup(time=at)
            if self.has_expired:  # it may rely on an index that was put back without its packs: then nothing is promised
                repository.verify(made)
            self.put[made] = at
            self.roots[made] = parse_snapshot(repository.master_key(), repository.get(f"snapshots/{made}")).tree
        self._steal()

    def _steal(self) -> None:
        for key in self.repository.objects():
            if key.startswith(("data/", "index/", "snapshots/")) and key not in self.stolen:
                body = self.repository.get(key)
                if hashlib.sha256(body).hexdigest() == key.rpartition("/")[2]:
                    self.stolen[key] = body

    @rule(pick=st.integers(0, 100))
    def end_late(self, pick: int) -> None:
        """End a backup that began when an old snapshot was there: it relies on the old one's data, whatever has been let go of since."""
        repository, at = self.repository, self.moment()
        old = list(self.roots)[pick % len(self.roots)]
        late = forge.snapshot(repository.master_key(), time=at, host=repository.host, paths=repository.paths, tree=self.roots[old])
        repository.put(late.key, late.body)
        if not self.has_expired:  # what has expired nobody can bring back
            self.put[late.id] = at
            repository.trees[late.id] = repository.trees[old]

    @rule(picks=PICKS, how=st.sampled_from(["overwrite", "hide", "replay", "junk"]))
    def attack(self, picks: list[int], how: str) -> None:
        """Attack some keys, whatever they are."""
        repository = self.repository
        keys = [key for key in repository.objects() if not key.startswith(("locks/", "maintainer/"))]
        for pick in picks if keys else ():
            key = keys[pick % len(keys)]
            match how:
                case "overwrite":
                    repository.put(key, b"garbage %d" % pick)
                case "hide":
                    repository.hide(key)
                case "junk":
                    name = hashlib.sha256(str(pick).encode()).hexdigest()
                    repository.put(f"data/{name[:2]}/{name}", b"junk")
                case _ if gone := sorted(self.gone & self.stolen.keys()):
                    key = gone[pick % len(gone)]
                    repository.put(key, self.stolen[key])
                case _:
                    pass

    @rule()
    def replay_everything(self) -> None:
        """Put back all that a run has let go of, expired or not; the host then relies on it."""
        for key in sorted(self.gone & self.stolen.keys()):
            self.repository.put(key, self.stolen[key])
        self.back_up()

    @rule()
    def run(self) -> None:
        """Run."""
        self._succeeds()

    @rule()
    def run_twice(self) -> None:
        """Run, and once more: then there is nothing to do, and nothing new to tell."""
        self._succeeds()
        ran = self._succeeds()
        assert (ran.code, ran.named("object.healed"), ran.named("object.evicted")) == (0, [], []), ran.findings()

    @rule(number=st.integers(0, WRITES), when=st.sampled_from(["before", "after"]))
    def crash(self, number: int, when: When) -> None:
        """Run, and be killed."""
        assert run_and_kill(self.maintained.job().encode(), number, when) in (None, 0, 3)

    @rule(pick=st.integers(0, 100))
    def let_go(self, pick: int) -> None:
        """Let a snapshot go, as a person may."""
        admitted = self.maintained.fold().having(State.ADMITTED)
        known = [one for one in self.put if f"snapshots/{one}" in admitted]
        if len(known) > 1:
            chosen = known[pick % len(known)]
            self._reject(chosen)

    def _notice_forgotten(self) -> None:
        """Count no more on what the policy has let go of rightly: a snapshot that goes later leaves no room for it."""
        must, records = self.must_be_there(), self.maintained.fold().records
        for snapshot in [one for one in self.put if one not in must]:
            found = records.get(f"snapshots/{snapshot}")
            if found is not None and found.state is State.DOOMED:
                del self.put[snapshot]

    def _reject(self, snapshot: str) -> None:
        self._notice_forgotten()
        self.maintained.judge("reject", f"snapshots/{snapshot}")
        self.rejected.add(f"snapshots/{snapshot}")
        del self.put[snapshot]

    @rule(pick=st.integers(0, 100))
    def take_back(self, pick: int) -> None:
        """Take a snapshot back. It may be that what it needs is gone: so it is not one of those that must be there."""
        doomed = sorted(key for key in self.maintained.fold().having(State.DOOMED) if key.startswith("snapshots/"))
        if doomed:
            key = doomed[pick % len(doomed)]
            self.maintained.judge("undelete", key)
            self.gone.discard(key)
            self.rejected.discard(key)

    @rule(pick=st.integers(0, 100), is_accepted=st.booleans())
    def prune_by_hand(self, pick: int, is_accepted: bool) -> None:
        """Forget and prune on the bucket itself, as an operator might who has every right: it is healed, unless a person accepts it."""
        if self.put:
            chosen = list(self.put)[pick % len(self.put)]
            self.repository.restic("forget", "--prune", chosen, check=False, identity="admin")
            if is_accepted and len(self.put) > 1 and f"snapshots/{chosen}" in self.maintained.fold().having(State.ADMITTED):
                self._reject(chosen)

    @rule()
    def let_expire(self) -> None:
        """Let the lifecycle rule take all that it may."""
        before = len(self.repository.versions())
        expire(self.repository)
        self.has_expired |= len(self.repository.versions()) < before

    def _succeeds(self) -> Ran:
        """Run to the end, and hold what must hold then."""
        ran = self.maintained.run()
        assert ran.code in (0, 3), ran.why()
        repository, records = self.repository, self.maintained.fold().records
        standing = {key for key in repository.objects() if not key.startswith(("maintainer/", "locks/"))}
        for snapshot in self.must_be_there():
            assert records[f"snapshots/{snapshot}"].state in (State.ADMITTED, State.INCOMPLETE), snapshot
        self._notice_forgotten()
        for key, record in records.items():
            if record.state is State.ADMITTED and key != "config":
                assert hashlib.sha256(repository.get(key)).hexdigest() == key.rpartition("/")[2], key
            if record.state is State.ADMITTED and record.reason == "taken back":
                self.gone.discard(key)
        assert standing <= set(records)
        assert not self.gone & standing
        assert not self.rejected & standing
        self._steal()
        self.gone |= {key for key, record in records.items() if record.state in (State.DOOMED, State.EVICTED) and key not in standing}
        return ran

    def must_be_there(self) -> list[str]:
        """Return the snapshots that are still on probation, and the last few of the others."""
        young = [one for one, at in self.put.items() if self.now - at < PROBATION * DAY]
        return [*young, *[one for one in self.put if one not in young][-LAST:]]

    def teardown(self) -> None:
        """In the end everything that must be there is restored, and compared."""
        if not hasattr(self, "maintained"):
            return
        self._succeeds()
        self._succeeds()
        admitted = self.maintained.fold().having(State.ADMITTED)
        for snapshot in self.must_be_there():
            assert f"snapshots/{snapshot}" in admitted
            self.repository.verify(snapshot)
        shutil.rmtree(self.place)


@pytest.mark.long
def test_any_order_of_what_may_happen(timed_sandbox: Sandbox, rows: Rows) -> None:
    Lives.sandbox = timed_sandbox
    run_state_machine_as_test(
        seed(rows.seed)(Lives),
        settings=settings(
            max_examples=int(os.environ.get("LIVES", "8" if rows.everything else "2")),
            stateful_step_count=14,
            deadline=None,
            database=None,
            phases=(Phase.generate,),  # names and times differ from try to try: nothing could be made smaller
            suppress_health_check=list(HealthCheck),
        ),
    )
