"""What somebody wants the configuration to be: the whole of it, as a file or the console states it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gainsight_destination.workspace.model import NO_LIMITS, SourceKind, SourceLimits, Trust, Webhook


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A wanted source. Without a write key or webhook secrets it keeps those it has."""

    name: str
    write_key: str | None = field(default=None, repr=False)
    enabled: bool = True
    place: str = ""
    """Where it was stated, for messages: `sources[0] (line 3)`."""
    kind: SourceKind = SourceKind.SERVER
    trust: Trust = Trust.FULL
    limits: SourceLimits = NO_LIMITS
    webhook: Webhook | None = None
    complete: bool = True
    """False when part of the settings could not be read, which is a problem already."""


@dataclass(frozen=True, slots=True)
class DestinationSpec:
    """A wanted destination. A secret setting that is left out keeps its stored value."""

    name: str
    type: str
    sources: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    enabled: bool = True
    complete: bool = True
    """False when part of the settings could not be read, which is a problem already."""
    place: str = ""
    consent_categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """The wanted configuration. With `problems` it may be shown, and never applied."""

    sources: tuple[SourceSpec, ...] = ()
    destinations: tuple[DestinationSpec, ...] = ()
    problems: tuple[str, ...] = ()
