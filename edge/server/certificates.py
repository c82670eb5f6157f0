"""Certificates that live as long as the server: every process of the Ray cluster on this machine shows one.

Ray's processes listen on all interfaces and unpickle what they are sent. With mutual TLS they take nothing from anyone
who has not the key, which lies in a folder that only this user can read.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DAYS = 30.0
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Certificates:
    """Paths of a PEM authority, and of a certificate with its key that the authority signed."""

    authority: Path
    certificate: Path
    key: Path

    def environment(self) -> dict[str, str]:
        """Return the variables that turn on mutual TLS between Ray's processes."""
        return {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(self.certificate),
            "RAY_TLS_SERVER_KEY": str(self.key),
            "RAY_TLS_CA_CERT": str(self.authority),
        }


def make_certificates(folder: Path, address: str) -> Certificates:
    """Write a new authority's certificate, and a certificate for loopback and this machine's address.

    `folder` is a private one. The authority's key is not kept: nothing else is ever signed.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _signed("edge serve authority", authority_key, "edge serve authority", authority_key, authority=True)
    certificate = _signed("edge serve", key, "edge serve authority", authority_key, addresses=(LOOPBACK, address))
    made = Certificates(folder / "authority.pem", folder / "certificate.pem", folder / "key.pem")
    made.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    made.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.touch(mode=0o600)
    made.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


def _signed(
    name: str, key: Any, issuer: str, issuer_key: Any, *, authority: bool = False, addresses: Sequence[str] = ()
) -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    def named(text: str) -> Any:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    # Key identifiers and usages: strict checkers, as Python's from 3.13 on, take no certificate without them.
    usage = dict.fromkeys(_USAGES, False) | {"digital_signature": not authority, "key_cert_sign": authority}
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not authority:
        names = [x509.DNSName("localhost"), *(x509.IPAddress(ipaddress.ip_address(text)) for text in addresses)]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
