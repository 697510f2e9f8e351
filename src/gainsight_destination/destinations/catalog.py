"""The catalog: every type of destination there is, and what may be configured about it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gainsight_destination.destinations.gainsight import settings as gainsight
from gainsight_destination.errors import UserError


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A type of destination, before anybody configured it. `slug` is stored and written into files: never rename."""

    slug: str
    name: str
    description: str
    parse_settings: Callable[[Mapping[str, Any]], Any]
    """Checks settings. Raises InvalidSettingsError with every problem, none of which quotes a secret."""
    warnings: Callable[[Any], list[str]]
    """What is allowed and probably not meant, about settings that `parse_settings` returned."""
    secret_settings: frozenset[str]
    """Settings that are encrypted at rest and never shown again."""
    methods: Mapping[str, bool]
    """Which of Segment's calls it takes; the others are filtered as `unsupported_type`."""
    connection_modes: Mapping[str, tuple[str, ...]]
    """Kinds of source by the way their messages go: `cloud` through this server, `device` past it."""


GAINSIGHT = CatalogEntry(
    slug="gainsight",
    name="Gainsight",
    description="Companies, people, event rows and daily usage in Gainsight, by its REST API.",
    parse_settings=gainsight.parse_settings,
    warnings=gainsight.warnings,
    secret_settings=gainsight.SECRET_SETTINGS,
    methods={"identify": True, "track": True, "group": True, "page": False, "screen": False, "alias": False},
    connection_modes={"cloud": ("web", "mobile", "server"), "device": ()},
)

CATALOG: Mapping[str, CatalogEntry] = {entry.slug: entry for entry in (GAINSIGHT,)}


def entry_of(slug: str, catalog: Mapping[str, CatalogEntry] = CATALOG) -> CatalogEntry:
    """The entry of this type. Raises UserError that names what there is."""
    if slug not in catalog:
        raise UserError(f"there is no destination type {slug[:60]!r}; there is {', '.join(sorted(catalog))}")
    return catalog[slug]
