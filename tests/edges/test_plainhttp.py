"""Whether a bucket answers without TLS, asked of one that does, one that refuses it, and one that is not there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from maintainer.core.job import Place
from maintainer.edges.plainhttp import ask_plainly, without_tls
from maintainer.sandbox.daemon import Sandbox
from tests.support.buckets import access
from tests.support.faulty import DENIED, FaultyProxy


@pytest.mark.parametrize(
    ("endpoint", "plain"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "http://s3.eu-central-1.amazonaws.com"),
        ("https://s3.example.com:443", "http://s3.example.com"),
        ("https://s3.example.com:9000", ""),
        ("http://127.0.0.1:9000", ""),
        ("", ""),
    ],
)
def test_only_a_store_at_the_usual_port_has_a_known_one_without_tls(endpoint: str, plain: str) -> None:
    assert without_tls(endpoint) == plain


def test_a_bucket_that_answers_is_told_and_one_that_refuses_is_well(sandbox: Sandbox) -> None:
    place = Place(sandbox.bucket, "plain", "https://s3.example.com")
    reached = access(sandbox)
    found = ask_plainly(reached, place, sandbox.endpoint)
    assert (found.holds, "aws:SecureTransport" in found.otherwise) == (False, True)
    with FaultyProxy(sandbox.endpoint, unknown=b"HEAD /", answer=DENIED) as proxy:
        assert ask_plainly(reached, place, proxy.endpoint).holds is True
        gone = proxy.endpoint
    assert ask_plainly(reached, place, gone).holds is True, "nothing listens there"


def test_what_can_not_be_asked_is_told_as_that(sandbox: Sandbox) -> None:
    place = Place(sandbox.bucket, "plain", "https://127.0.0.1:9000")
    assert ask_plainly(access(sandbox), place, "").holds is None
    assert ask_plainly(access(sandbox), replace(place, endpoint=sandbox.endpoint), "").holds is False
