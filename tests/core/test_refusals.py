"""How the refusal of a launch is taken: a table of codes."""

from __future__ import annotations

import pytest

from maintainer.core.refusals import REFUSALS, Reason, Then, judge


@pytest.mark.parametrize(
    ("code", "reason", "then", "key"),
    [
        ("InsufficientInstanceCapacity", Reason.CAPACITY, Then.ELSEWHERE, ""),
        ("InsufficientFreeAddressesInSubnet", Reason.CAPACITY, Then.ELSEWHERE, ""),
        ("UnfulfillableCapacity", Reason.CAPACITY, Then.ELSEWHERE, ""),
        ("Unsupported", Reason.CAPACITY, Then.ELSEWHERE, ""),
        ("MaxSpotInstanceCountExceeded", Reason.QUOTA, Then.ELSEWHERE, ""),
        ("VcpuLimitExceeded", Reason.QUOTA, Then.ELSEWHERE, ""),
        ("VolumeLimitExceeded", Reason.QUOTA, Then.WAIT, ""),
        ("SpotMaxPriceTooLow", Reason.PRICE, Then.ELSEWHERE, ""),
        ("RequestLimitExceeded", Reason.BUSY, Then.WAIT, ""),
        ("InternalError", Reason.BUSY, Then.WAIT, ""),
        ("UnauthorizedOperation", Reason.PERMISSION, Then.GIVE_UP, ""),
        ("AuthFailure.ServiceLinkedRoleCreationNotPermitted", Reason.PERMISSION, Then.GIVE_UP, ""),
        ("InvalidAMIID.NotFound", Reason.IMAGE, Then.GIVE_UP, "image"),
        ("InvalidAMIID.Unavailable", Reason.IMAGE, Then.GIVE_UP, "image"),
        ("InvalidSubnetID.NotFound", Reason.CONFIGURATION, Then.GIVE_UP, "subnets"),
        ("InvalidGroup.NotFound", Reason.CONFIGURATION, Then.GIVE_UP, "security_groups"),
        ("InvalidParameterValue", Reason.CONFIGURATION, Then.GIVE_UP, ""),
        ("NeverHeardOf", Reason.UNKNOWN, Then.GIVE_UP, ""),
        ("", Reason.UNKNOWN, Then.GIVE_UP, ""),
    ],
)
def test_a_code_says_what_it_is_about_and_what_to_do(code: str, reason: Reason, then: Then, key: str) -> None:
    taken = judge(code)
    assert (taken.reason, taken.then, taken.key) == (reason, then, key)


def test_every_code_is_taken_as_what_stands_before_its_first_dot() -> None:
    assert not [code for code in REFUSALS if "." in code]
    for code, taken in REFUSALS.items():
        assert judge(code) == judge(f"{code}.Whatever") == taken
