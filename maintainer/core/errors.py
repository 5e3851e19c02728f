"""One hierarchy of errors; each knows its exit code and what the reader should do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What the exit status of a command says; of several repositories see PRECEDENCE."""

    COMMITTED = 0
    FAULT = 1
    USAGE = 2
    ATTENTION = 3
    NOT_COMMITTED = 4
    NO_INSTANCE = 5
    LOST = 6
    INTERRUPTED = 130
    TERMINATED = 143


OUTCOMES: Mapping[int, str] = {
    0: "committed, nothing new",
    1: "a fault of our own",
    2: "wrong use or configuration",
    3: "committed, and there are new findings",
    4: "not committed; nothing was deleted",
    5: "no instance to be had",
    6: "lost: the outcome is unknown, and the next run settles it",
    130: "interrupted (SIGINT, or Ctrl-C)",
    143: "terminated (SIGTERM)",
}
"""What each exit status means, for people."""

PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.LOST,
    ExitCode.NOT_COMMITTED,
    ExitCode.FAULT,
    ExitCode.NO_INSTANCE,
    ExitCode.USAGE,
    ExitCode.ATTENTION,
    ExitCode.COMMITTED,
)
"""Of several repositories the first in this order is the run's: what one outcome may hide of another's, it must not."""


def first(codes: Iterable[ExitCode]) -> ExitCode:
    """Return the outcome of several repositories; of none, COMMITTED."""
    return min(codes, key=PRECEDENCE.index, default=ExitCode.COMMITTED)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in what the user gave: where it is, what was found, what was expected, and what to do."""

    where: str
    found: str
    expected: str
    do: str

    def __str__(self) -> str:
        """One mistake as two lines for a terminal."""
        return f"{self.where}: {self.found}; expected {self.expected}\n    → {self.do}"


class MaintainerError(Exception):
    """Any failure that we can explain. `guidance` says what the reader should do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT

    def __init__(self, message: str, *, guidance: str) -> None:
        super().__init__(message)
        self.message = message
        self.guidance = guidance

    def reasons(self) -> list[tuple[str, str]]:
        """Return what is wrong and what to do, one pair a mistake."""
        return [(self.message, self.guidance)]

    def __str__(self) -> str:
        """Return message and guidance, as a terminal shows them."""
        return f"{self.message}\n    → {self.guidance}"


class ConfigurationError(MaintainerError):
    """The configuration, or the world it names, is wrong. Holds every mistake that was found, not the first alone."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        plural = "s" if len(problems) > 1 else ""
        super().__init__(f"{len(problems)} mistake{plural} in the configuration", guidance="correct what is listed; nothing was started")
        self.problems = problems

    def reasons(self) -> list[tuple[str, str]]:
        """Return every mistake."""
        return [(f"{one.where}: {one.found}; expected {one.expected}", one.do) for one in self.problems]

    def __str__(self) -> str:
        """All mistakes, one below the other."""
        return "\n".join([self.message, *(f"  {problem}" for problem in self.problems)])


class ArgumentError(ConfigurationError):
    """Words of the command line name something that is not there, or that cannot be meant."""

    def __str__(self) -> str:
        """All mistakes, without a heading: what is wrong is not in the configuration."""
        return "\n".join(str(problem) for problem in self.problems)


class AccessDeniedError(MaintainerError):
    """The credentials in use may not do what was asked."""

    exit_code = ExitCode.USAGE


class PermissionDeniedError(AccessDeniedError):
    """The store answered that these credentials may not do what was asked."""


class NotFoundError(MaintainerError):
    """A bucket, object, image or secret that was named does not exist."""

    exit_code = ExitCode.USAGE


class AlreadyExistsError(MaintainerError):
    """A conditional put found the key taken."""


class StoreError(MaintainerError):
    """An object store failed beyond the retries that are safe."""

    exit_code = ExitCode.NOT_COMMITTED


class UnsafeStoreError(MaintainerError):
    """The state store ignores conditional puts, so that no ledger would be safe on it."""

    exit_code = ExitCode.USAGE


class DiskFullError(MaintainerError):
    """The disk on which a run keeps what is too much for memory is full."""

    exit_code = ExitCode.NOT_COMMITTED


class LedgerError(MaintainerError):
    """The ledger's chain is broken: nothing may be deleted until a person has looked."""

    exit_code = ExitCode.NOT_COMMITTED


class ResticError(MaintainerError):
    """restic ended with a failure; `status` is its exit status."""

    exit_code = ExitCode.NOT_COMMITTED

    def __init__(self, message: str, *, guidance: str, status: int) -> None:
        super().__init__(message, guidance=guidance)
        self.status = status


class CheckFailedError(MaintainerError):
    """`restic check` found damage: what was done must not be committed."""

    exit_code = ExitCode.NOT_COMMITTED


class SecretError(MaintainerError):
    """A password source gave nothing."""

    exit_code = ExitCode.USAGE


class SandboxError(MaintainerError):
    """The embedded sandbox can not do what was asked on this machine."""

    exit_code = ExitCode.USAGE


class FetchError(MaintainerError):
    """A program that we use could not be fetched, or is not the one that was pinned."""

    exit_code = ExitCode.USAGE


class EventError(MaintainerError):
    """A line of the event stream can not be understood."""


class ConcurrentRunError(MaintainerError):
    """Another run appended to the ledger first: this one ends, and nothing is lost."""

    exit_code = ExitCode.NOT_COMMITTED


class HeldError(MaintainerError):
    """The run may not go on to its commit, for a reason that a person must look at."""

    exit_code = ExitCode.NOT_COMMITTED


class PasswordError(MaintainerError):
    """No key of the repository opens with the password that was given, or none is sound."""

    exit_code = ExitCode.USAGE


class ConnectionLostError(MaintainerError):
    """The connection to an instance broke, or was never made; what was written there is not lost."""

    exit_code = ExitCode.LOST


class NoInstanceError(MaintainerError):
    """No instance was to be had. `may_pass`: a later try may find one."""

    exit_code = ExitCode.NO_INSTANCE

    def __init__(self, message: str, *, guidance: str, may_pass: bool = False) -> None:
        super().__init__(message, guidance=guidance)
        self.may_pass = may_pass


class SignalledError(BaseException):
    """A signal that ends a run arrived; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number
