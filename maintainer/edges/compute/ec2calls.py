"""Calls to EC2: which are repeated, and what their errors mean in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import tenacity
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound
from botocore.parsers import ResponseParserError

from maintainer.core.errors import AccessDeniedError, ConfigurationError, MaintainerError, NoInstanceError, Problem
from maintainer.core.refusals import Reason, Then, judge
from maintainer.edges.clock import Clock

Answer = TypeVar("Answer")
OnRetry: TypeAlias = Callable[[str, int, str, float], None]
"""Told of each repeat: the call, the attempt that failed (from 1), why, and the wait in seconds."""

ATTEMPTS = 5
LONGEST_WAIT_S = 20.0


class RefusedError(MaintainerError):
    """EC2 refuses this instance at this place, now; another place, or a later time, may do. `about` says what the refusals were about."""

    exit_code = NoInstanceError.exit_code

    def __init__(self, message: str, about: frozenset[Reason]) -> None:
        super().__init__(message, guidance="the next place is tried")
        self.about = about


def call(name: str, ask: Callable[[], Answer], *, clock: Clock, on_retry: OnRetry) -> Answer:
    """Ask EC2, again where the failure may pass; `ask` must be safe to repeat. Errors are ours: see `translate`."""
    try:
        return patiently(name, ask, _may_pass, clock=clock, on_retry=on_retry)
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise translate(name, error) from error


def patiently(
    name: str, ask: Callable[[], Answer], may_pass: Callable[[BaseException], bool], *, clock: Clock, on_retry: OnRetry
) -> Answer:
    """Ask a provider's API, again where `may_pass` says so of the failure; `ask` must be safe to repeat. Raises what it raised last."""

    def report(state: tenacity.RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        on_retry(name, state.attempt_number, reason[:200], round(state.upcoming_sleep, 1))

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=1, min=1, max=LONGEST_WAIT_S),
        sleep=clock.sleep,
        before_sleep=report,
        reraise=True,
    )
    return attempts(ask)


def code_of(error: BaseException | None) -> str:
    """Return EC2's code for an error, or nothing."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def translate(name: str, error: ClientError | BotoCoreError | ResponseParserError) -> MaintainerError:
    """Return our error for EC2's: RefusedError, AccessDeniedError, ConfigurationError, else NoInstanceError. See `core.refusals`."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return AccessDeniedError(f"{name}: {error}", guidance="set [ec2] profile, AWS_PROFILE, or run where a role is given")
    if not isinstance(error, ClientError):
        return NoInstanceError(f"{name}: EC2 does not answer ({error})", guidance="is [ec2] endpoint or region right, and up?")
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    taken = judge(code)
    if taken.then is Then.ELSEWHERE or (taken.then is Then.WAIT and taken.reason is not Reason.BUSY):
        return RefusedError(f"{taken.reason}: {code} ({message})", frozenset({taken.reason}))
    if code.startswith("AuthFailure.ServiceLinkedRole"):
        return AccessDeniedError(
            f"{name}: the account has no service-linked role for spot instances",
            guidance="once, as an administrator: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        )
    if taken.reason is Reason.PERMISSION:
        # UnauthorizedOperation carries an encoded blob of a thousand characters: its first sentence is what a person can read.
        return AccessDeniedError(
            f"{name}: {code} ({message.partition('Encoded')[0].strip()})",
            guidance=f"check that the controller's credentials are valid and allow ec2:{name} (for RunInstances also iam:PassRole)",
        )
    if taken.reason in {Reason.IMAGE, Reason.CONFIGURATION}:
        where = f"[group.NAME.instance] {taken.key}".strip()
        return ConfigurationError((Problem(where, f"{code}: {message}", "what exists in this region", "correct the value"),))
    busy = taken.then is Then.WAIT
    return NoInstanceError(f"{name}: {code}: {message}", guidance="see EC2's error codes; the next run tries again", may_pass=busy)


def _may_pass(error: BaseException) -> bool:
    # An answer that is no XML comes from something before EC2: a proxy, a load balancer.
    return isinstance(error, (HTTPClientError, ResponseParserError)) or judge(code_of(error)).reason is Reason.BUSY
