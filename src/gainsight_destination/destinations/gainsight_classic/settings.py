"""The settings of the classic Gainsight destination."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gainsight_destination.destinations.addresses import url
from gainsight_destination.destinations.gainsight.settings import access_key
from gainsight_destination.destinations.messages import Pace, read_pace
from gainsight_destination.destinations.read_settings import (
    MISSING,
    SettingsReader,
    event_name,
    list_of,
)
from gainsight_destination.errors import InvalidSettingsError

SECRET_SETTINGS: Final = frozenset({"accessKey"})
ENDPOINT: Final = "https://event.gainsight.com/clickstream/segmentio/event"
"""Where Segment's original integration (1.5.2) sent to."""


class ClassicSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the classic integration knew, and how fast to send. `repr` shows no secret."""

    access_key: str
    events: tuple[str, ...]
    endpoint: tuple[str, str]
    """Origin and path."""
    pace: Pace

    def __repr__(self) -> str:
        return f"ClassicSettings(endpoint={self.endpoint!r}, events={self.events!r})"


def parse_settings(raw: Mapping[str, Any]) -> ClassicSettings:
    """Check settings as a person wrote them. Raises InvalidSettingsError with every problem at once."""
    reader = SettingsReader(raw)
    settings = ClassicSettings(
        access_key=reader.take("accessKey", access_key, MISSING),
        events=reader.take("events", list_of(event_name), ()),
        endpoint=reader.take("endpoint", url, url(ENDPOINT)),
        pace=read_pace(reader),
    )
    if problems := reader.problems():
        raise InvalidSettingsError(problems)
    return settings


def warnings(settings: ClassicSettings) -> list[str]:
    """What is allowed and probably not meant, one sentence each."""
    return []
