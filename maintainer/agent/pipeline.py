"""One run over one repository, as the list of its steps (DESIGN.md, A run)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from maintainer.agent import admission, forgetting, formats, preflight, unlock
from maintainer.agent.admitting import TAKEN_BACK, Admission
from maintainer.agent.checking import check
from maintainer.agent.forgetting import Judged
from maintainer.agent.marking import compare_tags, mark, packs_aside, tag
from maintainer.agent.revert import carry_out, make_plan
from maintainer.agent.run import Opened, Run, short
from maintainer.agent.smallfiles import read_contents
from maintainer.core import release, retention
from maintainer.core.admission import has_trees
from maintainer.core.amounts import counted
from maintainer.core.errors import CheckFailedError, ExitCode, MaintainerError
from maintainer.core.findings import WHAT_TO_DO, Finding, Kind, Reported, Standing
from maintainer.core.moments import to_text
from maintainer.core.records import Record, RecordsInMemory, State
from maintainer.core.repofiles import FileType, RepositoryFile
from maintainer.core.retention import Verdict
from maintainer.core.revert import Heal, RevertPlan, Truth, was_damaged
from maintainer.core.versions import ObjectVersion
from maintainer.core.view import Shown, View
from maintainer.edges import restic
from maintainer.edges.shelf import RecordShelf
from maintainer.edges.shelves import ShownShelf
from maintainer.edges.viewserver import Permissions, ViewServer


@dataclass
class Work:
    """What the steps on the work view came to."""

    view: View
    frozen: Shown
    judged: Judged = field(default_factory=Judged)
    checked: Mapping[str, int] = field(default_factory=dict)


def maintain(run: Run, password: Callable[[], str]) -> ExitCode:
    """Do all steps; return COMMITTED or ATTENTION. Every error before the commit means that nothing was destroyed.

    The password is asked for when it is first needed: at first contact at once, later not before everything is healed.
    """
    try:
        return _steps(run, password)
    except MaintainerError:
        if not run.is_committed:  # what was found must be told, also when the run comes to nothing
            for reported in run.settled():
                tell(run, reported)
        raise


def _steps(run: Run, password: Callable[[], str]) -> ExitCode:
    step = run.recorder.step
    with step("survey"):
        run.survey()
        run.state.probe()
        run.read_ledger()
        _look_at_lifecycle(run)
    with step("revert"):
        unlock.refuse_another(run, password)
        contact(run, password)
        last_failed = bool(run.earlier_runs) and next(reversed(run.earlier_runs)) not in run.fold.committed_runs
        run.state.start_run(run.run_id)
        config = _Config(run)
        plan = make_plan(run, lambda finding: not _is_undeleted(run, finding) and not config.keeps(finding))
        preflight.ask_for_key(run, plan)
        config.take_aside(plan)
        carry_out(run, plan, partial(packs_aside, run))
    with step("admit"):
        opened = config.settle(plan, password)
        uncommitted = _uncommitted(run)
        admitted = admission.admit(run, plan, opened, uncommitted)
        _record_admission(run, admitted)
        _heal_again(run)
    with step("freeze"):
        frozen = ShownShelf(run.shown(opened))
        work = Work(View(frozen), frozen)
    with run.serve(work.view, Permissions(write=True, delete=True, announce=run.state.announce(run.run_id))) as server:
        if last_failed:
            with step("check"):
                _check_first(run, server, opened, work)
        with step("forget"):
            _forget(run, server, opened, work)
        with step("prune"):
            prune(run, server, opened, work)
        with step("check"):
            work.checked = check(run, server, opened, work.view)
    with step("commit"):
        compare_tags(run)
        code = commit(run, opened, work, admitted, uncommitted)
    with step("mark"):
        mark(run, opened)
        tag(run)
    return code


class _Config:
    """What a plan would do about config is done once the repository is open: only its key tells a migration from an attack."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._found: list[Finding] = []
        self._heal: Heal | None = None

    def keeps(self, finding: Finding) -> bool:
        """Keep a finding about config back."""
        is_config = finding.subject == "config"
        if is_config:
            self._found.append(finding)
        return is_config

    def take_aside(self, plan: RevertPlan) -> None:
        """Take config out of what the plan heals; what it stands for is the pinned version until then."""
        self._heal = plan.heal.get("config")
        if self._heal is not None:
            del plan.heal["config"]

    def settle(self, plan: RevertPlan, password: Callable[[], str]) -> Opened:
        """Open the repository, and heal config if that must be; also where no key opens it, which is then raised."""
        try:
            opened = formats.read(self._run, unlock.open_pinned(self._run, password()))
        except MaintainerError:
            self._tell()
            self._restore(plan)
            raise
        if opened.config is None:
            self._restore(plan)
        elif self._heal is not None and self._heal.over.version_id == opened.config.version:
            return opened  # what the plan took for an overwritten config is its owner's migration
        self._tell()
        return opened

    def _restore(self, plan: RevertPlan) -> None:
        if self._heal is not None:
            carry_out(self._run, replace(plan, heal={"config": self._heal}, mark={}), lambda _: True)

    def _tell(self) -> None:
        for finding in self._found:
            self._run.findings.append(finding)


def _look_at_lifecycle(run: Run) -> None:
    """Tell when evidence and true versions alike would go, where a rule takes noncurrent versions that nobody released."""
    days = run.store.expires_unreleased_after()
    if days is None:
        return
    first = release.earliest_loss(run.histories.values(), run.fold.released, days, now=run.now)
    what = f"; the first is {first[0]}, on {first[1]:%Y-%m-%d}" if first else ""
    told = f"noncurrent versions expire after {days} days, released or not{what}"
    run.findings.append(Finding(Kind.EXPIRES, "lifecycle", told, str(days)))


def _check_first(run: Run, server: ViewServer, opened: Opened, work: Work) -> None:
    """After a run that did not commit, check before the prune: one that fails night after night must not write night after night."""
    try:
        check(run, server, opened, work.view, before_prune=True)
    except CheckFailedError:
        run.recorder.record("prune.skipped", reason="the run before did not commit, and the check still fails")
        raise


def contact(run: Run, password: Callable[[], str]) -> None:
    """At the very first contact put entry 0, and then the identity object: before any other write to the repository.

    Where another ledger was here before, no marker is touched in that run, and until a person accepts the repository, or declares the other
    lost, no policy applies: what the other had decided is not known. Nor may a host hold a run up by forging that there was one.
    """
    is_decided = run.fold.accepted or run.fold.rebased
    lies_earlier = (run.fold.is_first_contact or not is_decided) and unlock.has_earlier_identity(run)
    run.may_mark = not (lies_earlier and run.fold.is_first_contact)
    run.has_earlier_ledger = lies_earlier and not is_decided
    if run.fold.head[0] == 0:
        unlock.refuse_others_inside(run)
        run.append("first", RecordsInMemory(unlock.pin(run, password())))
    if run.has_earlier_ledger:
        run.findings.append(unlock.EARLIER)
    identity = f"{unlock.IDENTITY}{run.fold.identity}"
    if identity not in run.histories or run.histories[identity].current.is_marker:
        run.put_on_top(run.store.put(identity, run.state.first_entry()))


def _uncommitted(run: Run) -> dict[str, RepositoryFile]:
    """Return what runs of ours put that never committed, and that no entry has spoken of since; and tell of it.

    A run puts packs and indexes alone: whatever says that it put a snapshot is none of ours, and dooms none of a host's.
    """
    left = {
        file.key(): file
        for run_id, written in run.earlier_runs.items()
        if run_id not in run.fold.committed_runs
        for file in written
        if file.type in (FileType.PACK, FileType.INDEX) and file.key() not in run.fold.records and file.key() in run.histories
    }
    if left:
        run.recorder.record("run.left", files=len(left), example=min(left))
    return left


def _record_admission(run: Run, admitted: Admission) -> None:
    if not admitted.changes:
        return
    run.append("admission", admitted.changes, findings=run.settled())
    counts = {kind: sum(1 for _ in admitted.changes.select(f"{kind}/", State.ADMITTED)) for kind in ("data", "index", "snapshots")}
    run.recorder.record("objects.admitted", packs=counts["data"], indexes=counts["index"], snapshots=counts["snapshots"])


def _heal_again(run: Run) -> None:
    """Plan once more with what admission decided: evictions are marked, markers over what was taken back are healed."""
    plan = make_plan(run, lambda finding: not _is_undeleted(run, finding) and not _is_expected(run, finding))
    carry_out(run, plan, partial(packs_aside, run))


def _is_undeleted(run: Run, finding: Finding) -> bool:
    """Tell whether a person has taken back what is hidden, since the last entry."""
    return finding.kind is Kind.HIDDEN and finding.subject in run.undeleted


def _is_expected(run: Run, finding: Finding) -> bool:
    """Tell whether a second look merely sees what admission itself decided: a pack taken back, a hidden snapshot taken in."""
    record = run.fold.records.get(finding.subject)
    if record is None:
        return False
    return record.reason == TAKEN_BACK or (finding.kind is Kind.HIDDEN and record.suspect == admission.HIDDEN)


def _forget(run: Run, server: ViewServer, opened: Opened, work: Work) -> None:
    """Judge, and forget exactly what the guard allows."""
    work.judged = forgetting.judge(run, opened, work.frozen, remember=True)
    ids = work.judged.forget
    if ids:
        run.demand(server, opened, restic.forget_argv(ids))
        known = {candidate.id: candidate for candidate in work.judged.candidates}
        for snapshot in ids:
            run.recorder.record("snapshot.forgotten", snapshot=snapshot, time=to_text(known[snapshot].time), host=known[snapshot].host)


def prune(run: Run, server: ViewServer, opened: Opened, work: Work) -> None:
    """Let restic drop and repack what no snapshot of the view needs. First contact prunes nothing: nobody has looked yet."""
    if run.fold.is_first_contact:
        run.recorder.record("prune.skipped", reason="first contact prunes nothing")
        return
    if damaged := was_damaged(run.fold):
        told = f"{counted(len(damaged), 'snapshot')} lacked data before first contact, such as {short(damaged[0])}: nothing is pruned "
        told += f"until it is whole, or `maintainer reject {run.job.name}` lets it go"
        run.recorder.record("prune.skipped", reason=told)
        return
    run.demand(server, opened, restic.prune_argv())
    run.recorder.record("prune.finished", deleted=len(work.view.deleted), written=len(work.view.written))


def commit(run: Run, opened: Opened, work: Work, admitted: Admission, uncommitted: Mapping[str, RepositoryFile]) -> ExitCode:
    """Append the one entry that dooms what restic deleted, and admits what it wrote."""
    changes = RecordShelf()
    changes.update(_pins(run))
    changes.update(_judged(run, work.judged.verdict, changes))
    changes.update(_doomed(run, opened, work, admitted))
    trees = _packs_of_trees(run, opened, work.view.written)
    for key, version in work.view.written.items():
        state = State.DOOMED if key in work.view.deleted else State.ADMITTED
        changes[key] = Record(state, version.version_id, version.size, version.last_modified, run.now, ours=True, trees=key in trees)
        run.put_on_top(version)
        run.standing[key] = Truth(version, version.last_modified)
    for key in uncommitted:
        current = run.histories[key].current
        changes[key] = Record(
            State.DOOMED, current.version_id, current.size, current.last_modified, run.now, "of a run that never committed", ours=True
        )
    settled = run.settled()
    run.append(
        "commit",
        changes,
        observed=retention.groups(work.judged.candidates),
        findings=settled,
        checked=work.checked,
        released=release.plan_release(run.histories.values(), run.fold, run.terms()),
    )
    run.is_committed = True
    for reported in settled:
        tell(run, reported)
    doomed = Counter("left" if key in uncommitted else key.partition("/")[0] for key, _ in changes.select(state=State.DOOMED))
    run.recorder.record(
        "run.committed",
        sequence=run.fold.head[0] - 1,
        forgotten=len(work.judged.forget),
        doomed=doomed.total(),
        packs=doomed["data"],
        indexes=doomed["index"],
        left=doomed["left"],
    )
    return ExitCode.ATTENTION if any(r.standing is Standing.NEW for r in settled) else ExitCode.COMMITTED


def _packs_of_trees(run: Run, opened: Opened, written: Mapping[str, ObjectVersion]) -> set[str]:
    """Return the packs with trees among what restic wrote, by the indexes that it wrote with them."""
    indexes = (version for key, version in written.items() if key.startswith(f"{FileType.INDEX.value}/"))
    said = (read_contents(run, version, opened) for version in indexes)
    return {RepositoryFile(FileType.PACK, pack).key() for found in said for pack, holds in found.items() if has_trees(holds)}


def tell(run: Run, reported: Reported) -> None:
    """Say where one finding stands, and what to do about it."""
    finding = reported.finding
    run.recorder.record(
        "finding.reported",
        kind=finding.kind.value,
        subject=finding.subject,
        detail=finding.detail,
        standing=reported.standing.value,
        since=reported.since,
        do=WHAT_TO_DO[finding.kind].replace("REPOSITORY", run.job.name),
    )


def _pins(run: Run) -> Iterator[tuple[str, Record]]:
    """Yield what to pin anew: what is known, and stands under another version than the ledger has, or was read only now."""
    for key, truth in run.standing.items():
        record = run.fold.records.get(key)
        if record is not None and (record.version != truth.version.version_id or record.unread):
            yield key, replace(record, version=truth.version.version_id, unread=False)


def _judged(run: Run, verdict: Verdict, changes: Mapping[str, Record]) -> dict[str, Record]:
    """Remember what was found of each snapshot when it was new."""
    found: dict[str, Record] = {}
    for snapshot, extent in verdict.extents.items():
        key = f"{FileType.SNAPSHOT.value}/{snapshot}"
        before = changes.get(key, run.fold.records[key])
        after = replace(before, extent=extent, suspect=before.suspect or verdict.crowded.get(snapshot, ""))
        if after != before:
            found[key] = after
    return found


def _doomed(run: Run, opened: Opened, work: Work, admitted: Admission) -> dict[str, Record]:
    deleted = [key for key in work.view.deleted if key in run.fold.records and not work.view.shows(key)]
    named_by = _named_by(run, opened, deleted)
    changes: dict[str, Record] = {}
    for key in deleted:
        before = admitted.taken_back.get(key, run.fold.records[key])
        since = before.since if key in admitted.taken_back else run.now
        version = work.frozen[key].version_id
        reason = "forgotten" if short(key) in work.judged.forget else "pruned"
        indexes = tuple(sorted({*before.indexes, *named_by.get(key, ())}))
        changes[key] = replace(before, state=State.DOOMED, version=version, since=since, reason=reason, indexes=indexes)
    return changes


def _named_by(run: Run, opened: Opened, deleted: list[str]) -> dict[str, set[str]]:
    """Say for each pack that was deleted which indexes in the bucket name it: it may go only after they have gone for a grace."""
    if not any(key.startswith("data/") for key in deleted):
        return {}
    named: dict[str, set[str]] = {}
    for key, record in run.fold.records.select(f"{FileType.INDEX.value}/"):
        if record.state is State.EVICTED or key not in run.standing:
            continue
        for pack in read_contents(run, run.standing[key].version, opened):
            named.setdefault(RepositoryFile(FileType.PACK, pack).key(), set()).add(short(key))
    return named
