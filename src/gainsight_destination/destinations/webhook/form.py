"""The settings of the webhook destination as they are asked for."""

from typing import Final

from gainsight_destination.destinations.form import Kind, SettingField
from gainsight_destination.destinations.messages_form import PACE
from gainsight_destination.destinations.webhook.settings import TYPES

FORM: Final = (
    SettingField("url", "URL", "Where each message is posted.", required=True),
    SettingField("secret", "Secret", "Signs each request. Make one with: openssl rand -hex 32", Kind.SECRET),
    SettingField(
        "types", "Types of call", f"One a line, of {', '.join(TYPES)}.", Kind.LINES, list(TYPES), step="events"
    ),
    SettingField("events", "Track events to send", "One name a line. Empty: every one.", Kind.LINES, [], step="events"),
    *PACE,
)
