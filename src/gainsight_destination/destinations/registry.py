"""Builds a configured destination from its catalog slug and settings."""

from collections.abc import Mapping
from typing import Any, Final

from gainsight_destination.destinations.catalog import entry_of
from gainsight_destination.destinations.contract import Outline, RecordDestination
from gainsight_destination.destinations.gainsight import settings as gainsight
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.destinations.gainsight_classic import settings as gainsight_classic
from gainsight_destination.destinations.gainsight_classic.destination import GainsightClassicDestination
from gainsight_destination.destinations.webhook import settings as webhook
from gainsight_destination.destinations.webhook.destination import WebhookDestination
from gainsight_destination.errors import UserError

STAND_IN: Final = "00000000-0000-0000-0000-000000000000"
"""Has the shape of every secret setting and is none."""


def outline(slug: str, settings: Mapping[str, Any]) -> Outline | None:
    """A destination as far as it is known without its secrets; None when these are no settings that we understand."""
    try:
        destination = build(slug, dict.fromkeys(entry_of(slug).secrets_beside(settings), STAND_IN) | dict(settings))
    except UserError:
        return None
    return Outline(destination.objects, destination.limits, destination.advice, destination.why_not_corrected)


def build(slug: str, settings: Mapping[str, Any]) -> RecordDestination:
    """The destination of this type with these settings. Raises UserError."""
    if slug == "gainsight":
        return GainsightDestination(gainsight.parse_settings(settings))
    if slug == "gainsight-classic":
        return GainsightClassicDestination(gainsight_classic.parse_settings(settings))
    if slug == "webhook":
        return WebhookDestination(webhook.parse_settings(settings))
    raise UserError(f"there is no destination type {slug!r}")
