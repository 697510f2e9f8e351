"""Builds a configured destination from its catalog slug and settings."""

from collections.abc import Mapping
from typing import Any

from gainsight_destination.destinations.contract import RecordDestination
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.destinations.gainsight.settings import parse_settings
from gainsight_destination.errors import UserError


def build(slug: str, settings: Mapping[str, Any]) -> RecordDestination:
    """The destination of this type with these settings. Raises UserError."""
    if slug == "gainsight":
        return GainsightDestination(parse_settings(settings))
    raise UserError(f"there is no destination type {slug!r}")
