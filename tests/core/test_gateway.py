"""What a gateway is told: its job survives JSON, and no name or hash can write a line of its own into the password file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintainer.core.errors import ConfigurationError
from maintainer.core.gateway import GatewayJob, decode, password_file
from maintainer.core.job import Access, Place

HASH = "$2b$05$" + "a" * 53
JOB = GatewayJob("servers", Access(region="r"), Place("b", "hosts"), 8000, "ssm:/tls", "ssm:/users")


def test_a_job_is_read_back_as_it_was_written() -> None:
    assert decode(JOB.encode()) == JOB


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"v":2}', JOB.encode().replace('"port"', '"gate"')])
def test_what_another_release_wrote_is_told_as_that(text: str) -> None:
    with pytest.raises(ConfigurationError, match="install the same release"):
        decode(text)


@pytest.mark.parametrize("name", ["", "Web1", "a:b", "a\nb", "../web1", ".", "-a", "a/", "a" * 65, "web1\r", "#web1", "wéb"])
def test_a_name_that_a_path_or_a_line_reads_otherwise_is_left_out(name: str) -> None:
    assert password_file({name: HASH, "web1": HASH}) == (f"web1:{HASH}\n", (name,))


@pytest.mark.parametrize("digest", ["", "plain", "{SHA}x", "$apr1$x$y", HASH + "\nweb2:" + HASH, HASH + "\n", " " + HASH])
def test_only_a_bcrypt_hash_lets_anybody_in(digest: str) -> None:
    assert password_file({"web1": digest, "a.b-c_9": HASH}) == (f"a.b-c_9:{HASH}\n", ("web1",))


@given(st.dictionaries(st.text(max_size=12), st.one_of(st.just(HASH), st.text(max_size=12))))
def test_there_is_a_line_for_each_user_that_is_let_in_and_no_other(users: dict[str, str]) -> None:
    lines, left_out = password_file(users)
    assert [line.partition(":")[0] for line in lines.split("\n")[:-1]] == sorted(users.keys() - set(left_out))
