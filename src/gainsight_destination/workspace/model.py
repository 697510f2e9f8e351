"""What is configured: sources, destinations and the connections between them, as immutable snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

DEFAULT_TOLERANCE_SECONDS: Final = 300


class SourceKind(StrEnum):
    """What a source is. Stored and written into files: never rename."""

    WEBSITE = "website"
    SERVER = "server"
    MOBILE = "mobile"
    WEBHOOK = "webhook"
    IMPORT = "import"


class Trust(StrEnum):
    """What a source is believed. `limited`: not whose account a user is, once a full-trust source has said it."""

    FULL = "full"
    LIMITED = "limited"


class Sender(StrEnum):
    """What sends a webhook source its messages, and so how they are signed and shaped."""

    SEGMENT = "segment"
    RUDDERSTACK = "rudderstack"
    JITSU = "jitsu"
    STANDARD = "standard"


class UnsignedTail(StrEnum):
    """What becomes of the messages of a batch behind the first, which is the only one that Segment signs."""

    ACCEPT = "accept"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much a source may send. None: as much as it likes."""

    messages_per_second: int | None = None
    megabytes_per_day: int | None = None
    """Of 10^6 bytes, as they are after gunzip, by UTC day."""


NO_LIMITS: Final = SourceLimits()


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a source of kind `webhook` is read. Whoever knows any of `secrets` may send."""

    sender: Sender
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """One, or two while one replaces the other. Empty: the present key opens none of the stored ones."""
    unsigned_tail: UnsignedTail = UnsignedTail.REFUSE
    tolerance_seconds: int = DEFAULT_TOLERANCE_SECONDS
    """How old, or how far ahead, the signed time of sender `standard` may be."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that sends messages with its own write key."""

    id: int
    name: str
    write_key: str = field(repr=False)
    enabled: bool = True
    kind: SourceKind = SourceKind.SERVER
    trust: Trust = Trust.FULL
    limits: SourceLimits = NO_LIMITS
    webhook: Webhook | None = None
    """Of kind `webhook`, and of no other."""
    retired_key: str | None = field(default=None, repr=False)
    """The write key before this one. Good until `retired_key_until_ms`, so that senders can change over."""
    retired_key_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured entry of the catalog. `settings` are as given, with secrets decrypted; never log them."""

    id: int
    name: str
    type: str
    enabled: bool
    source_ids: frozenset[int]
    settings: Mapping[str, Any] = field(repr=False)
    consent_categories: tuple[str, ...] = ()
    """A message goes here only if its consent, where it carries one, is given to all of these."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One version of the whole configuration."""

    version: int
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()
