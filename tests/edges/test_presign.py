"""Presigned URLs: ours are botocore's, whatever the key, the version and the credentials; renewed credentials sign from then on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import botocore.auth
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials, ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st

from maintainer.edges.presign import Presigner

BEGAN = datetime(2026, 11, 28, 23, 59, 50, tzinfo=UTC)


class Hand:
    """A clock that goes on by hand."""

    def __init__(self) -> None:
        self.time = BEGAN

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Renewed:
    """Credentials as a role's are: others each time they are renewed."""

    def __init__(self) -> None:
        self.current = ReadOnlyCredentials("AKIA1", "first", "token/1+=")

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self.current


def botocores(address: str, credentials: Credentials | ReadOnlyCredentials, key: str, version_id: str, seconds: int) -> str:
    request = AWSRequest("GET", address + quote(key, safe="/~"), params={"versionId": version_id})
    S3SigV4QueryAuth(credentials, "s3", "eu-central-1", expires=seconds).add_auth(request)
    return str(request.url)


@given(
    key=st.text(st.characters(codec="utf-8"), min_size=1, max_size=80),
    version_id=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    address=st.sampled_from(
        ["https://b.s3.eu-central-1.amazonaws.com/", "http://127.0.0.1:9000/b/", "https://h:443/b/", "http://h/a%20b/"]
    ),
    token=st.sampled_from([None, "a/b+c=="]),
    seconds=st.integers(1, 604_800),
)
def test_a_url_says_what_botocores_says(key: str, version_id: str, address: str, token: str | None, seconds: int) -> None:
    credentials, clock = Credentials("AKIAX", "secret/+", token), Hand()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.auth, "get_current_datetime", lambda: BEGAN.replace(tzinfo=None))
        theirs = botocores(address, credentials.get_frozen_credentials(), key, version_id, seconds)
    ours = Presigner(address, credentials, "eu-central-1", clock).url(key, version_id, seconds)
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert urlsplit(ours).path == urlsplit(theirs).path
    assert ":443" not in ours


def test_the_day_and_the_credentials_change_and_so_does_the_key_that_is_kept() -> None:
    credentials, clock = Renewed(), Hand()
    presigner = Presigner("https://h/", credentials, "r", clock)

    def signed_now() -> bool:
        fresh = Presigner("https://h/", credentials, "r", clock)
        return presigner.url("k", "v", 60) == fresh.url("k", "v", 60)

    assert signed_now()
    clock.sleep(20)
    assert signed_now(), "after midnight"
    assert "20261129" in presigner.url("k", "v", 60)
    credentials.current = ReadOnlyCredentials("AKIA2", "second", "token/2")
    assert signed_now(), "after the renewal"
    assert "AKIA2" in presigner.url("k", "v", 60)
    assert "token%2F2" in presigner.url("k", "v", 60)
