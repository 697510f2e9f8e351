"""The classic Gainsight destination: `POST` of each identify, track and group with the header `accessKey`."""

from typing import Final

from gainsight_destination.destinations.contract import Call
from gainsight_destination.destinations.gainsight_classic.settings import ClassicSettings
from gainsight_destination.destinations.messages import MessageDestination

METHODS: Final = frozenset({"identify", "track", "group"})


class GainsightClassicDestination(MessageDestination):
    """See docs/messages.md."""

    def __init__(self, settings: ClassicSettings) -> None:
        super().__init__(
            integration_name="Gainsight",
            base_url=settings.endpoint[0],
            headers={"accessKey": settings.access_key},
            types=METHODS,
            events=settings.events,
            pace=settings.pace,
        )
        self._settings = settings

    def call_of(self, message_id: str, message: bytes, now_ms: int) -> Call:
        return Call("POST", self._settings.endpoint[1], headers=(("Content-Type", "application/json"),))
