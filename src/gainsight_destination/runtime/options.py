"""What `serve` and its engine are started with."""

import socket
from dataclasses import dataclass
from pathlib import Path

from gainsight_destination.errors import UserError
from gainsight_destination.ingest import limits
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.watermarks import Watermarks
from gainsight_destination.runtime.link import ParentLink

DAY_MS = 86_400_000
GB_BYTES = 1_000_000_000
NO_MARKS = Watermarks()


@dataclass(frozen=True, slots=True)
class Address:
    """Where a port is opened."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read HOST:PORT; an IPv6 host stands in brackets. Raises UserError."""
        host, colon, port = text.rpartition(":")
        if not (colon and host and port.isdigit() and int(port) <= 65_535):
            raise UserError(f"{text!r} is not an address; write HOST:PORT, for example 127.0.0.1:8080 or [::1]:8080")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def address_of(listener: socket.socket) -> Address:
    """Where a bound socket listens, with the port that the system chose if it did."""
    host, port = listener.getsockname()[:2]
    return Address(host, port)


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the event log keeps what has been read from it."""

    days: float = 7
    gigabytes: float = 20

    def older_than_ms(self, now_ms: int) -> int:
        """Entries received before this may go."""
        return now_ms - round(self.days * DAY_MS)

    def max_bytes(self) -> int:
        """Entries beyond this much may go, oldest first."""
        return round(self.gigabytes * GB_BYTES)


def marks(max_backlog_gb: float, min_free_disk_gb: float | None) -> Watermarks:
    """The marks of the public port, from options in gigabytes."""
    return Watermarks(
        max_backlog_bytes=round(max_backlog_gb * GB_BYTES),
        min_free_bytes=None if min_free_disk_gb is None else round(min_free_disk_gb * GB_BYTES),
    )


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """`serve` as the person asked for it."""

    data_dir: Path
    ingest: Address
    console: Address
    workspace_file: Path | None = None
    retention: Retention = Retention()
    marks: Watermarks = NO_MARKS
    max_connections: int = limits.CONNECTIONS
    public_url: PublicUrl | None = None
    console_url: PublicUrl | None = None
    """Where people reach the private port, when that is not where it listens."""
    tls_cert: Path | None = None
    tls_key: Path | None = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The engine as its parent starts it.

    `console_listener` is bound and listening: the parent opens the private port, so that its address outlives the
    engine and connections wait while it is started again.
    """

    data_dir: Path
    console_listener: socket.socket
    link: ParentLink
    retention: Retention = Retention()

    @property
    def log_path(self) -> Path:
        return self.data_dir / "log.db"

    @property
    def state_path(self) -> Path:
        return self.data_dir / "state.db"
