"""The states of a run over one repository, and the only ways from one to another."""

from __future__ import annotations

from enum import Enum

from maintainer.core.errors import ExitCode


class Step(Enum):
    """The steps of the transaction, in order; the value stands in the events' envelope."""

    BEGIN = "begin"
    REVERT = "revert"
    FORGET = "forget"
    PRUNE = "prune"
    CHECK = "check"
    COMMIT = "commit"
    ROLLBACK = "rollback"


_NEXT: dict[Step | None, frozenset[Step]] = {
    None: frozenset({Step.BEGIN}),
    Step.BEGIN: frozenset({Step.REVERT, Step.ROLLBACK}),
    Step.REVERT: frozenset({Step.FORGET, Step.ROLLBACK}),
    Step.FORGET: frozenset({Step.PRUNE, Step.ROLLBACK}),
    Step.PRUNE: frozenset({Step.CHECK, Step.ROLLBACK}),
    Step.CHECK: frozenset({Step.COMMIT, Step.ROLLBACK}),
    Step.COMMIT: frozenset(),
    Step.ROLLBACK: frozenset(),
}


class IllegalStepError(Exception):
    """A step was entered that does not follow: a fault of ours."""


def advance(step: Step | None, to: Step) -> Step:
    """Return `to` when it may follow `step`; IllegalStepError otherwise, so that no code path can commit without a check."""
    if to not in _NEXT[step]:
        raise IllegalStepError(f"{to.value} does not follow {step.value if step else 'nothing'}")
    return to


def outcome(*, committed: bool, needs_a_look: bool) -> ExitCode:
    """Return the exit code of one repository's run that ended by itself."""
    if not committed:
        return ExitCode.NOT_COMMITTED
    return ExitCode.ATTENTION if needs_a_look else ExitCode.COMMITTED
