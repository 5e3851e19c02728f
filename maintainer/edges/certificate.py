"""A gateway's certificates: an authority that hosts trust for its one name, and what that signs, which may be renewed at any time."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = "-----BEGIN CERTIFICATE-----"
EARLIER = timedelta(hours=1)
"""A host's clock may be late."""
AUTHORITY_HOLDS = timedelta(days=20 * 365)
"""As long as hosts live: giving it to each of them again is what it spares."""


@dataclass(frozen=True, slots=True)
class Authority:
    """What signs a gateway's certificates: its private key and its certificate, both in PEM."""

    key: str
    certificate: str

    @staticmethod
    def made(address: str, now: datetime) -> Authority:
        """Make one that is good for a single name or IPv4 address."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(f"authority of {address}")
        built = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - EARLIER, now + AUTHORITY_HOLDS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.NameConstraints([_permitted(address)], _excluded(address)), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return Authority(_private(key), _public(built))

    @staticmethod
    def parse(pem: str) -> Authority:
        """Read one as `pem` gives it. ValueError where it is none."""
        key, mark, rest = pem.partition(PEM)
        read = Authority(key, f"{mark}{rest}")
        if read.permitted() is None or _key(key).public_key() != x509.load_pem_x509_certificate(read.certificate.encode()).public_key():
            raise ValueError("no authority that was made here")
        return read

    def pem(self) -> str:
        """Return all of it, as it is kept."""
        return self.key + self.certificate

    def sign(self, address: str, now: datetime, days: int) -> str:
        """Return a new private key and its certificate for the address, both in PEM, one after the other."""
        authority, own = _key(self.key), x509.load_pem_x509_certificate(self.certificate.encode())
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(now + timedelta(days=days), own.not_valid_after_utc)
        built = (
            x509.CertificateBuilder(
                own.subject, _name(f"gateway at {address}"), key.public_key(), x509.random_serial_number(), now - EARLIER, until
            )
            .add_extension(x509.SubjectAlternativeName([_named(address)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)
            .sign(authority, hashes.SHA256())
        )
        return _private(key) + _public(built)

    def is_for(self, address: str) -> bool:
        """Tell whether it may sign for this name or address."""
        return self.permitted() == [_permitted(address)]

    def permitted(self) -> list[x509.GeneralName] | None:
        """Return the names that it may sign for; None where that is not said."""
        try:
            found = x509.load_pem_x509_certificate(self.certificate.encode()).extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound:
            return None
        return found.value.permitted_subtrees


def _name(text: str) -> x509.Name:
    """Return a name that is read by people alone: a common name that looks like a host's would be judged as one (OpenSSL)."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _named(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.IPv4Address(address))
    except ValueError:
        return x509.DNSName(address)


def _permitted(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.IPv4Network(address))
    except ValueError:
        return x509.DNSName(address)


def _key(pem: str) -> ec.EllipticCurvePrivateKey:
    read = load_pem_private_key(pem.encode(), None)
    if not isinstance(read, ec.EllipticCurvePrivateKey):
        raise ValueError("another kind of key")  # noqa: TRY004 - what was read is wrong, not what was passed
    return read


def _excluded(address: str) -> list[x509.GeneralName]:
    """Return all names of the kind that the address is not: to permit one kind says nothing of another (RFC 5280, 4.2.1.10)."""
    if isinstance(_named(address), x509.IPAddress):
        return [x509.DNSName(""), x509.IPAddress(ipaddress.IPv6Network("::/0"))]
    return [x509.IPAddress(ipaddress.IPv4Network("0.0.0.0/0")), x509.IPAddress(ipaddress.IPv6Network("::/0"))]


def _private(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
