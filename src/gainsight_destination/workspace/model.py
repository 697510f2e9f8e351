"""What is configured: sources, destinations and the connections between them, as immutable snapshots."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """How much a source may send. None: as much as it likes."""

    messages_per_second: int | None = None
    megabytes_per_day: int | None = None
    """Of 10^6 bytes, as they are after gunzip, by UTC day."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that sends messages with its own write key."""

    id: int
    name: str
    write_key: str = field(repr=False)
    enabled: bool = True
    limits: SourceLimits = SourceLimits()


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured entry of the catalog. `settings` are as given, with secrets decrypted; never log them."""

    id: int
    name: str
    type: str
    enabled: bool
    source_ids: frozenset[int]
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Workspace:
    """One version of the whole configuration."""

    version: int
    sources: tuple[Source, ...] = ()
    destinations: tuple[Destination, ...] = ()

    def source_of_write_key(self) -> Mapping[str, Source]:
        return {source.write_key: source for source in self.sources}
