"""The agent as a process: a job on standard input, the events on standard output, and an exit status that agrees with the last of them."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

from maintainer import __version__
from maintainer.agent import preflight
from maintainer.agent.journal import journal
from maintainer.agent.notices import TAKEN_BACK, heeded
from maintainer.agent.picture import plan_alone
from maintainer.agent.pipeline import maintain
from maintainer.agent.run import Run
from maintainer.core import job as jobs
from maintainer.core.errors import ExitCode, HeldError, MaintainerError, SignalledError, first
from maintainer.core.events import Event, encode
from maintainer.core.job import Job
from maintainer.edges import restic, secrets
from maintainer.edges.clock import SystemClock
from maintainer.edges.log import Recorder, diagnostics
from maintainer.edges.metadata import MetadataService
from maintainer.edges.objectstore import S3Store
from maintainer.edges.s3 import S3, ignore_retries
from maintainer.edges.spool import Spool
from maintainer.edges.statestore import StateStore

SIGNALLED = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED, TAKEN_BACK: ExitCode.NO_INSTANCE}


def main() -> int:
    """Do the job on standard input; return its exit code."""
    for number in SIGNALLED:
        signal.signal(number, _raise)

    def write(event: Event) -> None:
        sys.stdout.write(encode(event) + "\n")
        sys.stdout.flush()

    try:
        job = jobs.decode(sys.stdin.readline())
    except MaintainerError as error:
        # There is no run to write of yet: what is said last is what the controller shows of a machine that ended without an event.
        sys.stderr.writelines(f"maintainer {__version__}: {reason}: {do}\n" for reason, do in error.reasons())
        return error.exit_code
    return attend(job, write)


def attend(job: Job, told: Callable[[Event], None]) -> ExitCode:
    """Do a job, and tell all of it; return its exit code, which the last event has too."""
    clock = SystemClock(Path(job.access.clock) if job.access.clock else None)
    kept = Spool()
    done: set[str] = set()

    def sink(event: Event) -> None:
        kept.append(encode(event))
        if event.event == "repository.finished" and event.repository is not None:
            done.add(event.repository)
        told(event)

    recorder = Recorder(job.run_id, "agent", clock, sink)
    code = ExitCode.FAULT
    try:
        # Whoever starts an agent may block these, so that one which comes too early is heeded here and not lost (compute.local).
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
        with heeded(MetadataService(job.metadata), recorder) if job.metadata else nullcontext():
            code = run_job(job, recorder, clock, kept)
    except SignalledError as error:
        number = signal.Signals(error.number)
        if number is TAKEN_BACK:
            recorder.record("run.interrupted", repositories=[one.name for one in job.repositories if one.name not in done])
        else:
            recorder.record("run.signalled", signal=number.name)
        code = SIGNALLED[number]
    except MaintainerError as error:
        code = _tell(recorder, error)
    recorder.record("run.closed", exit_code=code)
    return code


def _raise(number: int, _: FrameType | None) -> None:
    """Turn a signal into an exception, so that every `finally` runs."""
    for each in SIGNALLED:
        signal.signal(each, signal.SIG_IGN)
    raise SignalledError(number)


def run_job(job: Job, recorder: Recorder, clock: SystemClock, kept: Spool) -> ExitCode:
    """Run every repository; one's failure does not stop the others."""
    tool = restic.find(job.restic, restic.Limits(job.memory, timedelta(seconds=job.time_s)))
    recorder.record("run.started", repositories=[one.name for one in job.repositories], maintainer=__version__, restic=tool.version)
    codes: list[ExitCode] = []
    for one in job.repositories:
        started = clock.monotonic()
        # The last is a connection of its own to the state store: a repeat of its calls is no event, or keeping events would make events.
        endpoints = ((job.state.endpoint, recorder.retried), (one.place.endpoint, recorder.retried), (job.state.endpoint, ignore_retries))
        of_state, of_store, beside = (S3(job.access, endpoint, told) for endpoint, told in endpoints)
        state, apart = (StateStore(s3, job.state.below(one.name)) for s3 in (of_state, beside))
        store = S3Store(of_store, one.place.bucket, one.place.prefix, clock.now, one.kms_key)
        with nullcontext() if job.plan_only else journal(apart, job.run_id, kept), recorder.repository(one.name):
            recorder.record("repository.started", location=str(one.place))
            run = Run(job.run_id, one, store, state, tool, recorder, clock)
            with closing(run):
                code = _guard(recorder, partial(_run_one, run, job))
            codes.append(code)
            asked = [s3.asked for s3 in (of_state, of_store, beside)]
            recorder.record(
                "repository.finished",
                exit_code=code,
                seconds=round(clock.monotonic() - started, 3),
                reads=sum(each.reads for each in asked),
                writes=sum(each.writes for each in asked),
            )
    return first(codes)


def _run_one(run: Run, job: Job) -> ExitCode:
    preflight.check(run, job)

    def password() -> str:
        return secrets.read(run.job.password, job.access)

    return plan_alone(run, password) if job.plan_only else maintain(run, password)


def _guard(recorder: Recorder, act: Callable[[], ExitCode]) -> ExitCode:
    """Turn a repository's failure into its exit code and an event that says why."""
    try:
        return act()
    except MaintainerError as error:
        return _tell(recorder, error)
    except MemoryError:
        do = "give it more, or launch a type that has it; nothing is lost, and the next run begins anew"
        return _tell(recorder, HeldError("this machine has no memory left", guidance=do))
    except Exception as error:  # noqa: BLE001 - the other repositories must have their night; this one is told as our fault
        diagnostics().exception("unexpected", repository=recorder.where)
        reason = f"{type(error).__name__}: {error}"
        recorder.record("run.failed", reason=reason, guidance="this is a fault of maintainer: please report it", exit_code=ExitCode.FAULT)
        return ExitCode.FAULT


def _tell(recorder: Recorder, error: MaintainerError) -> ExitCode:
    """Write why a run failed, one event a mistake."""
    for reason, guidance in error.reasons():
        recorder.record("run.failed", reason=reason, guidance=guidance, exit_code=error.exit_code)
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
