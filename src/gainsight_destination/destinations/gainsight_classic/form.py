"""The settings of the classic Gainsight destination as they are asked for."""

from typing import Final

from gainsight_destination.destinations.form import Kind, SettingField
from gainsight_destination.destinations.gainsight_classic.settings import ENDPOINT
from gainsight_destination.destinations.messages_form import PACE

FORM: Final = (
    SettingField("accessKey", "Access Key", "36 characters, from Gainsight.", Kind.SECRET, required=True),
    SettingField("endpoint", "Endpoint", "Where each message is posted.", Kind.TEXT, ENDPOINT, step="advanced"),
    SettingField("events", "Track events to send", "One name a line. Empty: every one.", Kind.LINES, [], step="events"),
    *PACE,
)
