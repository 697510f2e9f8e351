"""What keeps a valid message from Gainsight, whatever is known of its user."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.oracle.messages import Message


def why_filtered(message: Message, settings: Mapping[str, Any]) -> str | None:
    """The first reason that applies: its type, the user's consent, the sender's `integrations` object, the allowlist of
    track events."""
    if message.type not in ("identify", "track", "group"):
        return "unsupported_type"
    if refused_categories(message.consent, settings["consentCategories"]):
        return "end_user_consent"
    if not wanted_by_sender(message.integrations):
        return "integrations_object"
    if message.event is not None and not listed(message.event, settings["events"]):
        return "event_not_listed"
    return None


def refused_categories(consent: Any, asked: Sequence[str]) -> list[str]:
    """Of the categories a destination asks for, those the end user did not say `true` to. Who says nothing about
    categories refuses none; what is no preferences, where some should be, refuses all."""
    if consent is None:
        return []
    if not isinstance(consent, dict):
        return list(asked)
    if consent.get("categoryPreferences") is None:
        return []
    preferences = consent["categoryPreferences"]
    given = [name for name, value in preferences.items() if value is True] if isinstance(preferences, dict) else []
    return [category for category in asked if category not in given]


def wanted_by_sender(integrations: Any) -> bool:
    """Only `false` under the exact name Gainsight switches off, anything else there switches on. Without that name,
    `All` in any letter case decides if it is true or false."""
    if not isinstance(integrations, dict):
        return True
    if "Gainsight" in integrations:
        return integrations["Gainsight"] is not False
    return all(value is not False for name, value in integrations.items() if name.lower() == "all")


def listed(event: str, allowlist: Sequence[Any]) -> bool:
    """No list means every event. A row is a name, or the original's object with the name as `key`."""
    names = [row["key"] if isinstance(row, dict) else row for row in allowlist]
    return not names or no_case(event) in [no_case(name) for name in names]


def no_case(name: str) -> str:
    """The npm package to-no-case 1.0.2: a name with white space is only lower-cased; one with `_ - . :` gets a space
    for each run of characters that are no ASCII letters or digits, none at its end; one in camelCase is split before
    its capitals, and a run of capitals into its letters."""
    if re.search(r"\s", name):
        return name.lower()
    if any(separator in name for separator in "_-.:"):
        words = re.split(r"[^A-Za-z0-9]+", name)
        while words and not words[-1]:
            words.pop()
        return " ".join(words).lower() or name.lower()
    if re.search(r"[a-z][A-Z]|[A-Z][a-z]", name):
        return name[0].lower() + "".join(f" {c.lower()}" if "A" <= c <= "Z" else c.lower() for c in name[1:])
    return name.lower()
