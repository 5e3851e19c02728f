"""Calls to EC2: which are repeated, and what their errors mean in our words."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, TypeVar

import tenacity
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound
from botocore.parsers import ResponseParserError

from maintainer.core.errors import AccessDeniedError, ConfigurationError, MaintainerError, NoInstanceError, Problem
from maintainer.edges.clock import Clock

Answer = TypeVar("Answer")
OnRetry: TypeAlias = Callable[[str, int, str, float], None]
"""Told of each repeat: the call, the attempt that failed (from 1), why, and the wait in seconds."""

ATTEMPTS = 5
LONGEST_WAIT_S = 20.0

# Codes: EC2 API reference, "Error codes for the Amazon EC2 API".
TRANSIENT = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"}
)
CAPACITY = frozenset(
    {
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "InsufficientHostCapacity",
        "InsufficientInstanceCapacity",
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "SpotMaxPriceTooLow",
        "UnfulfillableCapacity",
        "Unsupported",
        "VcpuLimitExceeded",
    }
)
QUOTA = frozenset({"InstanceLimitExceeded", "MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"})
"""Those of them that are the account's, and not EC2's."""
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "InvalidClientTokenId",
        "OptInRequired",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
    }
)
MISTAKES = {
    "InvalidAMIID": "[group.NAME.instance] image",
    "InvalidSubnetID": "[group.NAME.instance] subnets",
    "InvalidLaunchTemplateId": "[group.NAME.instance] launch_template",
    "InvalidGroup": "[group.NAME.instance] security_groups",
    "InvalidSecurityGroupID": "[group.NAME.instance] security_groups",
    "InvalidIamInstanceProfileArn": "[group.NAME.instance] instance_profile",
    "InvalidParameterValue": "[group.NAME.instance]",
    "InvalidParameterCombination": "[group.NAME.instance]",
}
"""What EC2 calls wrong, before the first dot, and where in the configuration that comes from."""


class RefusedError(MaintainerError):
    """EC2 has no room for this instance at this place; another place may have. `code` is EC2's own word."""

    exit_code = NoInstanceError.exit_code

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}", guidance="the next place is tried")
        self.code = code
        self.reason = message


def call(name: str, ask: Callable[[], Answer], *, clock: Clock, on_retry: OnRetry) -> Answer:
    """Ask EC2, again where the failure may pass; `ask` must be safe to repeat. Errors are ours: see `translate`."""

    def report(state: tenacity.RetryCallState) -> None:
        reason = str(state.outcome.exception()) if state.outcome else ""
        on_retry(name, state.attempt_number, reason[:200], round(state.upcoming_sleep, 1))

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=1, min=1, max=LONGEST_WAIT_S),
        sleep=clock.sleep,
        before_sleep=report,
        reraise=True,
    )
    try:
        return attempts(ask)
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        raise translate(name, error) from error


def code_of(error: BaseException | None) -> str:
    """Return EC2's code for an error, or nothing."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def translate(name: str, error: ClientError | BotoCoreError | ResponseParserError) -> MaintainerError:
    """Return our error for EC2's: RefusedError, AccessDeniedError, ConfigurationError, else NoInstanceError."""
    if isinstance(error, NoCredentialsError | PartialCredentialsError | ProfileNotFound):
        return AccessDeniedError(f"{name}: {error}", guidance="set [ec2] profile, AWS_PROFILE, or run where a role is given")
    if not isinstance(error, ClientError):
        return NoInstanceError(f"{name}: EC2 does not answer ({error})", guidance="is [ec2] endpoint or region right, and up?")
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    if code in CAPACITY:
        return RefusedError(code, message)
    if code.startswith("AuthFailure.ServiceLinkedRole"):
        return AccessDeniedError(
            f"{name}: the account has no service-linked role for spot instances",
            guidance="once, as an administrator: aws iam create-service-linked-role --aws-service-name spot.amazonaws.com",
        )
    if code in DENIED:
        # UnauthorizedOperation carries an encoded blob of a thousand characters: its first sentence is what a person can read.
        return AccessDeniedError(
            f"{name}: {code} ({message.partition('Encoded')[0].strip()})",
            guidance=f"check that the controller's credentials are valid and allow ec2:{name} (for RunInstances also iam:PassRole)",
        )
    if where := MISTAKES.get(code.partition(".")[0]):
        return ConfigurationError((Problem(where, f"{code}: {message}", "what exists in this region", "correct the value"),))
    return NoInstanceError(f"{name}: {code}: {message}", guidance="see EC2's error codes; the next run tries again")


def _may_pass(error: BaseException) -> bool:
    # An answer that is no XML comes from something before EC2: a proxy, a load balancer.
    return isinstance(error, (HTTPClientError, ResponseParserError)) or code_of(error) in TRANSIENT
