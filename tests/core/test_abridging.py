"""Whatever is abridged fits, stays as it is when it is abridged again, and is told from others that begin alike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maintainer.core import abridging

TEXTS = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=5), st.integers(0, 3_000))
PATHS = st.builds(lambda paths, times: paths * times, st.lists(TEXTS, max_size=4), st.sampled_from([1, 1, 1, 30, 700]))


@given(TEXTS, st.integers(100, 5_000))
def test_a_text_fits_and_is_cut_once(whole: str, longest: int) -> None:
    cut = abridging.text(whole, longest)
    assert len(cut) <= longest
    assert abridging.text(cut, longest) == cut
    assert (cut == whole) == (len(whole) <= longest)


@given(TEXTS, PATHS)
def test_a_host_and_its_paths_fit_and_are_cut_once(host: str, paths: list[str]) -> None:
    cut = abridging.group(host, paths)
    assert len(cut[0]) <= abridging.LONGEST_HOST
    assert len(cut[1]) <= abridging.MOST_PATHS
    assert sum(map(len, cut[1])) <= abridging.LONGEST_PATHS
    assert abridging.group(*cut) == cut


def test_what_begins_alike_is_told_apart() -> None:
    left, right = ("x" * 5_000_000 + end for end in "ab")
    assert abridging.group("web1", (left,)) != abridging.group("web1", (right,))
    many = [f"/srv/{number}" for number in range(100_000)]
    assert abridging.group("web1", many) != abridging.group("web1", [*many[:-1], "/other"])


def test_what_hosts_have_is_left_alone() -> None:
    paths = tuple(f"/srv/customers/{number:04}/data" for number in range(1_000))
    assert abridging.group("web1.example.org", paths) == ("web1.example.org", paths)
