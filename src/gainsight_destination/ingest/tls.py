"""TLS of the public port: a certificate and its key from two files, checked before they are used and when they change.

Certificates are renewed beneath a running server, so the files are looked at every few seconds. A new pair is used for
the connections that come after; those that are open go on. A new pair that is wrong, such as a certificate whose key is
still being written, changes nothing but what health says: the pair before it is served on.
"""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UserError
from gainsight_destination.observe import metrics

REFRESH_SECONDS = 2.0

logger = structlog.get_logger(__name__)

Seen = tuple[tuple[int, int, int], ...]
"""Inode, time of change and size of each file."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the pair is, both PEM: the certificate with those that vouch for it below, and its key, not encrypted."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, cert: Path | None, key: Path | None) -> "TlsFiles":
        """Raises UserError for one without the other."""
        if cert is None:
            raise UserError("--tls-key needs --tls-cert FILE, the certificate of the key")
        if key is None:
            raise UserError("--tls-cert needs --tls-key FILE, the private key of the certificate")
        return cls(cert, key)

    def seen(self) -> Seen:
        """Differs once either file does. Raises OSError."""
        found = [path.stat() for path in (self.cert, self.key)]
        return tuple((file.st_ino, file.st_mtime_ns, file.st_size) for file in found)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, ready for use, and when it ends."""

    context: ssl.SSLContext
    expires_ms: int


class Tls:
    """The pair in use. `context` is what the port listens with; each handshake gets the newest pair from it."""

    def __init__(self, files: TlsFiles, *, clock: Clock) -> None:
        """Raises UserError when the pair cannot be used."""
        self._files = files
        self._clock = clock
        self._failure: str | None = None
        self._seen = self._look()
        self._use(read_pair(files, clock.now_ms()))
        self.context = self._pair.context
        self.context.sni_callback = self._give_newest

    def expires(self) -> str:
        """When the certificate ends, ISO-8601 in UTC."""
        return iso(self._pair.expires_ms)

    def troubles(self) -> list[str]:
        """What is wrong, in plain words; empty when all is well."""
        troubles = [f"the new TLS certificate is not used: {self._failure}"] if self._failure else []
        if self._pair.expires_ms <= self._clock.now_ms():
            troubles.append(f"the TLS certificate expired at {self.expires()}")
        return troubles

    async def watch(self) -> None:
        """Look for new files, again and again, until cancelled."""
        while True:
            await self._clock.sleep(REFRESH_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Use the files if they changed. Never raises for files that are wrong or away."""
        seen = self._look()
        if seen == self._seen:
            return
        try:
            pair = read_pair(self._files, self._clock.now_ms())
        except UserError as error:
            if str(error) != self._failure:
                logger.warning("new TLS certificate is not used", reason=str(error))
            self._failure = str(error)
            return
        self._seen, self._failure = seen, None
        self._use(pair)
        logger.info("TLS certificate renewed", expires=self.expires())

    def _look(self) -> Seen | None:
        try:
            return self._files.seen()
        except OSError:
            return None

    def _use(self, pair: Pair) -> None:
        self._pair = pair
        metrics.ingest_tls_expiry_timestamp_seconds.set(pair.expires_ms / 1_000)

    def _give_newest(self, connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _: ssl.SSLContext) -> None:
        """Called by every handshake once the client said hello, whether it named a server or not."""
        connection.context = self._pair.context


def read_pair(files: TlsFiles, now_ms: int) -> Pair:
    """Read and check. Raises UserError that names the option, the file and what to do."""
    cert, key = read_certificate(files.cert), read_key(files.key)
    own = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if cert.public_key().public_bytes(*own) != key.public_key().public_bytes(*own):
        raise UserError(
            f"--tls-key {files.key} is not the key of the first certificate in --tls-cert {files.cert}; the file must "
            "begin with the server's own certificate"
        )
    begins_ms, expires_ms = (
        round(t.timestamp() * 1_000) for t in (cert.not_valid_before_utc, cert.not_valid_after_utc)
    )
    if expires_ms <= now_ms:
        raise UserError(f"--tls-cert {files.cert} expired at {iso(expires_ms)}; renew it")
    if begins_ms > now_ms:
        raise UserError(f"--tls-cert {files.cert} is valid only from {iso(begins_ms)}; is the clock right?")
    return Pair(context_of(files), expires_ms)


def context_of(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and newer, with the ciphers that OpenSSL and Python consider safe."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.cert, files.key, password="")  # a password, so that nobody is asked for one
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise UserError(f"--tls-cert {files.cert} with --tls-key {files.key} cannot be used: {reason}") from None
    return context


def read_certificate(path: Path) -> x509.Certificate:
    """The first certificate of the file."""
    try:
        return x509.load_pem_x509_certificates(content_of(path, "--tls-cert"))[0]
    except ValueError:
        raise UserError(f"--tls-cert {path} holds no PEM certificate (-----BEGIN CERTIFICATE-----)") from None


def read_key(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(content_of(path, "--tls-key"), password=None)
    except TypeError:
        raise UserError(
            f"--tls-key {path} is encrypted; write one without a passphrase: openssl pkey -in {path} -out FILE"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"--tls-key {path} holds no PEM private key (-----BEGIN PRIVATE KEY-----)") from None


def content_of(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{option} {path} cannot be read: {error.strerror}") from None


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
