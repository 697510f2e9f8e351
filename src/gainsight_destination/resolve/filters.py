"""Which destinations a message may go to: consent, the `integrations` object and the allowlist of track events.

Filters decide what is delivered, never what is known: identity and account facts are learned from filtered
messages too.
"""

from collections.abc import Collection
from typing import Final

import msgspec

from gainsight_destination.events.event_names import to_no_case

FILTERED_BY_CONSENT: Final = "end_user_consent"
FILTERED_BY_INTEGRATIONS: Final = "integrations_object"
FILTERED_BY_ALLOWLIST: Final = "event_not_listed"
FILTERED_BY_TYPE: Final = "unsupported_type"


def enabled_by_integrations(integrations: object, destination_name: str) -> bool:
    """Segment's documented truth table of the `integrations` object for one destination.

    A destination's own entry decides: only `false` switches it off, anything else on. Without an entry the key
    `All` (any letter case) decides when it is boolean, and the default is on. Names match exactly.
    Segment's legacy places for the same wish (`context.All`, `options`, `providers`) are not read.
    """
    if not isinstance(integrations, dict) or not integrations:
        return True
    if destination_name in integrations:
        return integrations[destination_name] is not False
    return not any(value is False for key, value in integrations.items() if key.lower() == "all")


def consented(consent: bytes | None, categories: Collection[str]) -> bool:
    """Whether a message may go to a destination that asks for consent to these categories, as Segment enforces it.

    `consent` is `context.consent` as JSON. A message that states no preferences is not held back; one that states some
    needs `true` for every category. Preferences that cannot be understood are no consent.
    Source: https://www.twilio.com/docs/segment/privacy/consent-management/consent-in-segment-connections
    """
    if not categories or consent is None:
        return True
    try:
        said = msgspec.json.decode(consent)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(said, dict):
        return False
    preferences = said.get("categoryPreferences")
    if preferences is None:
        return True
    return isinstance(preferences, dict) and all(preferences.get(category) is True for category in categories)


class Allowlist:
    """The track events a destination wants; empty means all of them."""

    def __init__(self, names: Collection[str]) -> None:
        self._wanted = frozenset(to_no_case(name) for name in names)

    def allows(self, event: str) -> bool:
        return not self._wanted or to_no_case(event) in self._wanted
