"""How the refusal of a launch is taken: a table of codes."""

from __future__ import annotations

import pytest

from maintainer.core.refusals import REFUSALS, Reason, Then, judge, judge_droplet


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


@pytest.mark.parametrize(
    ("status", "sentence", "reason", "then", "key"),
    [
        (0, "", Reason.BUSY, Then.WAIT, ""),
        (429, "API Rate limit exceeded.", Reason.BUSY, Then.WAIT, ""),
        (503, "", Reason.BUSY, Then.WAIT, ""),
        (401, "Unable to authenticate you", Reason.PERMISSION, Then.GIVE_UP, ""),
        (403, "You do not have access for the attempted action.", Reason.PERMISSION, Then.GIVE_UP, ""),
        (422, "Size is not available in this region.", Reason.CAPACITY, Then.ELSEWHERE, ""),
        (422, "size is unavailable", Reason.CAPACITY, Then.ELSEWHERE, ""),
        (422, "Region is not available", Reason.CAPACITY, Then.ELSEWHERE, ""),
        (422, "This size is currently restricted please send an additional payment to unlock.", Reason.QUOTA, Then.ELSEWHERE, ""),
        (422, "creating this/these droplet(s) will exceed your droplet limit", Reason.QUOTA, Then.WAIT, ""),
        (422, "droplet limit exceeded", Reason.QUOTA, Then.WAIT, ""),
        (422, "Droplet already has a pending event.", Reason.BUSY, Then.WAIT, ""),
        (422, "You specified an invalid image for Droplet creation.", Reason.IMAGE, Then.GIVE_UP, "image"),
        (
            422,
            "The image you specified is not available in the selected region, you can transfer it to this region from the images pages.",
            Reason.IMAGE,
            Then.GIVE_UP,
            "image",
        ),
        (422, "You specified an invalid size for Droplet creation.", Reason.CONFIGURATION, Then.GIVE_UP, "sizes"),
        (422, "You specified an invalid region for Droplet creation.", Reason.CONFIGURATION, Then.GIVE_UP, "regions"),
        (422, "VPC is not in the same region", Reason.CONFIGURATION, Then.GIVE_UP, "vpc"),
        (422, "something new", Reason.CONFIGURATION, Then.GIVE_UP, ""),
        (404, "The resource you were accessing could not be found.", Reason.UNKNOWN, Then.GIVE_UP, ""),
    ],
)
def test_a_sentence_of_digitalocean_says_it_too(status: int, sentence: str, reason: Reason, then: Then, key: str) -> None:
    taken = judge_droplet(status, sentence)
    assert (taken.reason, taken.then, taken.key) == (reason, then, key)
