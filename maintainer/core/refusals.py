"""What a provider's refusal of a launch is about, and what to do then: try elsewhere, wait, or give up.

EC2's codes: EC2 API reference, "Error codes for the Amazon EC2 API"; EC2 Fleet and Spot add codes of their own to a fleet's answer.
DigitalOcean has HTTP statuses, and for what it can not process a sentence: those that users quote in the issues of doctl and others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus


class Reason(StrEnum):
    """What a refusal is about."""

    CAPACITY = "capacity"
    QUOTA = "quota"
    PRICE = "price"
    PERMISSION = "permission"
    IMAGE = "image"
    CONFIGURATION = "configuration"
    BUSY = "EC2 is busy"
    UNKNOWN = "unknown"


class Then(StrEnum):
    """What to do then."""

    ELSEWHERE = "try elsewhere"
    WAIT = "wait"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Refusal:
    """How one code is taken. `key` of the group's section is what a person would correct; empty where it is none."""

    reason: Reason
    then: Then
    key: str = ""


_CAPACITY = Refusal(Reason.CAPACITY, Then.ELSEWHERE)
_QUOTA = Refusal(Reason.QUOTA, Then.ELSEWHERE)
_PRICE = Refusal(Reason.PRICE, Then.ELSEWHERE)
_BUSY = Refusal(Reason.BUSY, Then.WAIT)
_DENIED = Refusal(Reason.PERMISSION, Then.GIVE_UP)


def _mistake(key: str) -> Refusal:
    return Refusal(Reason.IMAGE if key == "image" else Reason.CONFIGURATION, Then.GIVE_UP, key)


REFUSALS: dict[str, Refusal] = {
    # A subnet without addresses, and a type that a zone has not, are answered like a zone that is full: another place may do.
    **dict.fromkeys(
        (
            "InsufficientAddressCapacity",
            "InsufficientCapacity",
            "InsufficientCapacityOnOutpost",
            "InsufficientFreeAddressesInSubnet",
            "InsufficientHostCapacity",
            "InsufficientInstanceCapacity",
            "InsufficientReservedInstanceCapacity",
            "InsufficientVolumeCapacity",
            "UnfulfillableCapacity",
            "Unsupported",
            "UnsupportedOperation",
        ),
        _CAPACITY,
    ),
    # Spot and on-demand have quotas of their own, and so have families of types.
    **dict.fromkeys(
        (
            "InstanceLimitExceeded",
            "MaxSpotFleetRequestCountExceeded",
            "MaxSpotInstanceCountExceeded",
            "VcpuLimitExceeded",
        ),
        _QUOTA,
    ),
    # Those are the account's wherever it is tried: but others' volumes and interfaces end.
    **dict.fromkeys(
        ("MaxIOPSLimitExceeded", "NetworkInterfaceLimitExceeded", "ResourceCountExceeded", "VolumeLimitExceeded"),
        Refusal(Reason.QUOTA, Then.WAIT),
    ),
    **dict.fromkeys(("InvalidSpotPrice", "SpotMaxPriceTooLow"), _PRICE),
    **dict.fromkeys(
        (
            "EC2ThrottledException",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "RequestLimitExceeded",
            "RequestThrottled",
            "ServiceUnavailable",
            "ServerInternal",
            "Throttling",
            "ThrottlingException",
            "Unavailable",
        ),
        _BUSY,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AccessDeniedException",
            "AuthFailure",
            "Blocked",
            "ExpiredToken",
            "InvalidClientTokenId",
            "NotPermitted",
            "OptInRequired",
            "PendingVerification",
            "RequestExpired",
            "SignatureDoesNotMatch",
            "UnauthorizedOperation",
        ),
        _DENIED,
    ),
    **dict.fromkeys(("InvalidAMIID", "InvalidSnapshot", "InvalidBlockDeviceMapping"), _mistake("image")),
    **dict.fromkeys(("InvalidSubnetID", "InvalidSubnet"), _mistake("subnets")),
    **dict.fromkeys(("InvalidLaunchTemplateId", "InvalidLaunchTemplateName"), _mistake("launch_template")),
    **dict.fromkeys(("InvalidGroup", "InvalidSecurityGroupID", "SecurityGroupsPerInstanceLimitExceeded"), _mistake("security_groups")),
    "InvalidIamInstanceProfileArn": _mistake("instance_profile"),
    "InvalidInstanceType": _mistake("types"),
    **dict.fromkeys(
        (
            "InvalidFleetConfig",
            "InvalidFleetConfiguration",
            "InvalidInput",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "VPCIdNotSpecified",
        ),
        Refusal(Reason.CONFIGURATION, Then.GIVE_UP),
    ),
}
"""Each code that a launch may be refused with, up to its first dot: `InvalidAMIID.NotFound` is an `InvalidAMIID`."""


def judge(code: str) -> Refusal:
    """Return how a code is taken: one that nobody knows is given up, and told as it is."""
    return REFUSALS.get(code.partition(".")[0], Refusal(Reason.UNKNOWN, Then.GIVE_UP))


SENTENCES: tuple[tuple[str, Refusal], ...] = (
    (r"pending event|is (?:currently )?locked|try again later", _BUSY),
    (r"(?:exceed|reached|over).*\blimit|limit exceeded", Refusal(Reason.QUOTA, Then.WAIT)),  # the account's, wherever it is tried
    (r"size.*(?:restricted|not authorized)", _QUOTA),
    (r"image.*not available in the selected region", _mistake("image")),
    (r"(?:size|region).*(?:not available|unavailable|disabled|sold out|no capacity)", _CAPACITY),
    (r"\bimage\b", _mistake("image")),
    (r"\bvpc\b", _mistake("vpc")),
    (r"\bsize\b", _mistake("sizes")),
    (r"\bregion\b", _mistake("regions")),
)
"""What DigitalOcean says with status 422, as patterns in lower case; the first that is found counts."""


def judge_droplet(status: int, sentence: str) -> Refusal:
    """Return how an answer of DigitalOcean's API is taken; status 0 is none at all."""
    if status in {0, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS} or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _BUSY
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN}:
        return _DENIED
    found = (taken for pattern, taken in SENTENCES if re.search(pattern, sentence.lower()))
    is_mistake = status == HTTPStatus.UNPROCESSABLE_ENTITY
    return next(found, Refusal(Reason.CONFIGURATION if is_mistake else Reason.UNKNOWN, Then.GIVE_UP))
