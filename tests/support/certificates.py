"""Certificates for tests, which vouch for themselves, and their keys, in PEM files."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from gainsight_destination.ingest.tls import TlsFiles

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AWAY = datetime(2099, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, as PEM, and the serial number by which clients tell it from others."""

    cert: bytes
    key: bytes
    encrypted_key: bytes
    serial: int

    def write(self, files: TlsFiles) -> TlsFiles:
        files.cert.write_bytes(self.cert)
        files.key.write_bytes(self.key)
        return files

    def client(self) -> ssl.SSLContext:
        """How a client trusts this certificate and no other."""
        return ssl.create_default_context(cadata=self.cert.decode())


def issue(*, begins: datetime = LONG_AGO, ends: datetime = FAR_AWAY, algorithm: str = "ec") -> Issued:
    """A certificate for localhost and 127.0.0.1."""
    key = (
        ec.generate_private_key(ec.SECP256R1())
        if algorithm == "ec"
        else rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    )
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    serial = x509.random_serial_number()
    names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), serial, begins, ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    clear, secret = (
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
        for how in (NoEncryption(), BestAvailableEncryption(b"hush"))
    )
    return Issued(certificate.public_bytes(Encoding.PEM), clear, secret, serial)


def files_in(folder: Path) -> TlsFiles:
    return TlsFiles(folder / "cert.pem", folder / "key.pem")
