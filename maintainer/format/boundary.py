"""The boundary: whatever goes wrong in reading what a host wrote becomes one error, so that it ends that object's judgement, and no run.

What a reader raises by itself is a FormatError that says what is wrong. All else (a number that is too large, a text that is no UTF-8, a
list where an object should be, nesting without end) is caught here, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from json import JSONDecodeError
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
LONGEST = 200
"""Characters of a reason, at most: it may quote what a host wrote."""


class FormatError(ValueError):
    """The bytes are not what restic would have written, or are more than the limit allows."""

    def __init__(self, why: str) -> None:
        """`why` is cut where it is long."""
        super().__init__(why if len(why) <= LONGEST else f"{why[:LONGEST]}…")


class UnopenedError(FormatError):
    """It does not authenticate under the repository's key: it is garbage, or another key opens it."""


class LimitError(FormatError):
    """It is more than a reader takes, whatever it is: that accuses nobody."""


def reader(what: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a function one that reads `what`, such as "key file": it returns, or raises FormatError."""

    def guard(read: Callable[P, T]) -> Callable[P, T]:
        @wraps(read)
        def reading(*arguments: P.args, **named: P.kwargs) -> T:
            with _guarded(what):
                return read(*arguments, **named)

        return reading

    return guard


def readers(what: str) -> Callable[[Callable[P, Iterator[T]]], Callable[P, Iterator[T]]]:
    """Make a generator one that reads `what` piece by piece: it yields, or raises FormatError."""

    def guard(read: Callable[P, Iterator[T]]) -> Callable[P, Iterator[T]]:
        @wraps(read)
        def reading(*arguments: P.args, **named: P.kwargs) -> Iterator[T]:
            with _guarded(what):
                yield from read(*arguments, **named)

        return reading

    return guard


@contextmanager
def _guarded(what: str) -> Iterator[None]:
    try:
        yield
    except (FormatError, MemoryError):
        # Every reader is bounded in memory: where there is not even so much, it is this machine that lacks it, and no object is to blame.
        raise
    except Exception as error:
        raise FormatError(f"no {what}: {_why(error).encode(errors='replace').decode()}") from error


def _why(error: Exception) -> str:
    match error:
        case JSONDecodeError():
            return f"no JSON: {error.msg}, at character {error.pos}"
        case UnicodeError():
            return "it is not UTF-8"
        case RecursionError():
            return "it is nested too deep"
        case KeyError():
            return f"it lacks {error.args[0]!r}"
        case _:
            return str(error)
