"""Which images may be removed: a table, and that no pinned one, and none that is used, ever is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.images import OwnImage, machine_of, old


def image(name: str, made: str, *used_by: str) -> OwnImage:
    return OwnImage(name, "d", "x86_64", made, used_by)


FIRST, SECOND, THIRD = image("a", "2026-01"), image("b", "2026-02"), image("c", "2026-03")


@pytest.mark.parametrize(
    ("images", "pinned", "expected"),
    [
        ([FIRST, SECOND, THIRD], {"c"}, {"a", "b"}),
        ([FIRST, SECOND, THIRD], {"b"}, {"a"}),
        ([FIRST, SECOND, THIRD], set(), set()),
        ([FIRST, SECOND, THIRD], {"gone"}, set()),
        ([image("a", "2026-01", "i-1"), SECOND], {"b"}, set()),
        ([image("a", "2026-01"), image("b", "2026-01")], {"b"}, set()),
    ],
)
def test_what_nobody_needs_is_older_than_what_is_pinned(images: list[OwnImage], pinned: set[str], expected: set[str]) -> None:
    assert old(images, pinned) == expected


IMAGES = st.lists(st.builds(image, st.sampled_from("abcdef"), st.sampled_from(["2026-01", "2026-02"])), unique_by=lambda one: one.id)


@given(IMAGES, st.sets(st.sampled_from("abcdef")))
def test_no_pinned_image_is_old_and_none_without_a_pinned_one(images: list[OwnImage], pinned: set[str]) -> None:
    found = old(images, pinned)
    assert not found & pinned
    assert not found or pinned & {one.id for one in images}


def test_architectures_have_the_kernel_s_names() -> None:
    assert [machine_of(one) for one in ("arm64", "x86_64")] == ["aarch64", "x86_64"]
