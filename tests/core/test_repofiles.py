"""What a screen shows of a file's name means that file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.repofiles import FileType, RepositoryFile, is_meant
from maintainer.core.shortids import shortened

IDS = st.text("0123456789abcdef", min_size=64, max_size=64)
KINDS = st.sampled_from([kind for kind in FileType if kind is not FileType.CONFIG])


@given(KINDS, IDS)
def test_what_a_screen_shows_of_a_key_means_it(kind: FileType, name: str) -> None:
    key = RepositoryFile(kind, name).key()
    assert all(is_meant(key, said) for said in (key, name, name[:8], f"{kind.value}/{name[:8]}", shortened(key)))


@given(KINDS, IDS, IDS)
def test_another_id_means_another_file(kind: FileType, name: str, other: str) -> None:
    assert is_meant(RepositoryFile(kind, name).key(), other) == (name == other)


@pytest.mark.parametrize(
    ("key", "said"), [("config", ""), (f"index/{'a' * 64}", ""), (f"index/{'a' * 64}", "data/aa"), ("notes.txt", "notes")]
)
def test_nothing_is_meant_by_chance(key: str, said: str) -> None:
    assert not is_meant(key, said)
