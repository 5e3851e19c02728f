"""A gateway's certificates, judged by OpenSSL: what the authority signs is trusted for its own name, and for no other."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maintainer.edges.certificate import Authority

NOW = datetime.now(UTC)


def handshake(folder: Path, trusted: str, pem: str, name: str) -> None:
    """Let a client that trusts something greet a server that shows something."""
    file = folder / "server.pem"
    file.write_text(pem)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cadata=trusted)
    server.load_cert_chain(file)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, there, server_hostname=name)
    answering = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for one in (asking, answering):
            try:
                one.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert asking.getpeercert()


@pytest.mark.parametrize("address", ["backup.example.com", "127.9.0.1"])
def test_what_it_signs_is_trusted_again_and_again(tmp_path: Path, address: str) -> None:
    authority = Authority.made(address, NOW)
    for days in (1, 825, 100_000):
        handshake(tmp_path, authority.certificate, Authority.parse(authority.pem()).sign(address, NOW, days), address)


@pytest.mark.parametrize(
    ("address", "other"), [("backup.example.com", "bank.example.com"), ("127.9.0.1", "127.9.0.2"), ("127.9.0.1", "example.com")]
)
def test_who_took_the_authority_is_nobody_else(tmp_path: Path, address: str, other: str) -> None:
    authority = Authority.made(address, NOW)
    assert (authority.is_for(address), authority.is_for(other)) == (True, False)
    with pytest.raises(ssl.SSLCertVerificationError, match="subtree violation"):
        handshake(tmp_path, authority.certificate, authority.sign(other, NOW, 9), other)


def test_another_authority_is_not_trusted(tmp_path: Path) -> None:
    first, second = Authority.made("a.example", NOW), Authority.made("a.example", NOW)
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tmp_path, first.certificate, second.sign("a.example", NOW, 9), "a.example")


def test_what_is_none_is_refused() -> None:
    authority = Authority.made("a.example", NOW)
    leaf = authority.sign("a.example", NOW, 9)
    for pem in ("", "nonsense", authority.certificate, authority.key, leaf, Authority.made("a.example", NOW).key + authority.certificate):
        with pytest.raises(ValueError):  # noqa: PT011 - cryptography's words, whichever they are
            Authority.parse(pem)
