"""The settings of the webhook destination."""

import binascii
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gainsight_destination.destinations.addresses import url
from gainsight_destination.destinations.messages import Pace, read_pace
from gainsight_destination.destinations.read_settings import (
    MISSING,
    SettingsReader,
    WrongValueError,
    event_name,
    list_of,
    one_of,
    optional,
    text,
)
from gainsight_destination.errors import InvalidSettingsError

SECRET_SETTINGS: Final = frozenset({"secret"})
TYPES: Final = ("identify", "track", "group", "page", "screen", "alias")
STANDARD_PREFIX: Final = "whsec_"
"""How the Standard Webhooks specification marks a secret whose rest is base64."""
SHORTEST_SECRET: Final = 16


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where to send, what, and what to sign with. `repr` shows no secret."""

    url: tuple[str, str]
    """Origin and path."""
    secret: str | None
    types: tuple[str, ...]
    events: tuple[str, ...]
    pace: Pace

    def __repr__(self) -> str:
        return f"WebhookSettings(url={self.url!r}, types={self.types!r}, events={self.events!r})"


def parse_settings(raw: Mapping[str, Any]) -> WebhookSettings:
    """Check settings as a person wrote them. Raises InvalidSettingsError with every problem at once."""
    reader = SettingsReader(raw)
    settings = WebhookSettings(
        url=reader.take("url", url, MISSING),
        secret=reader.take("secret", optional(secret), None),
        types=reader.take("types", list_of(one_of(*TYPES)), TYPES),
        events=reader.take("events", list_of(event_name), ()),
        pace=read_pace(reader),
    )
    if problems := reader.problems():
        raise InvalidSettingsError(problems)
    return settings


def secret(value: Any) -> str:
    """A text to sign with; after `whsec_` it is base64."""
    found = text(value)
    if found.startswith(STANDARD_PREFIX):
        try:
            binascii.a2b_base64(found.removeprefix(STANDARD_PREFIX), strict_mode=True)
        except binascii.Error:
            raise WrongValueError("begins with whsec_, so the rest must be base64") from None
    elif len(found) < SHORTEST_SECRET:
        raise WrongValueError(f"must have at least {SHORTEST_SECRET} characters; make one with: openssl rand -hex 32")
    return found


def warnings(settings: WebhookSettings) -> list[str]:
    """What is allowed and probably not meant, one sentence each."""
    return [] if settings.secret else ["there is no secret, so the receiver cannot tell our requests from others"]
