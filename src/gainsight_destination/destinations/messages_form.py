"""What every message destination asks for: how fast to send, and for how long to try."""

from typing import Final

from gainsight_destination.destinations.form import Kind, SettingField
from gainsight_destination.destinations.messages import RETRY_HOURS

PACE: Final = (
    SettingField("callsPerMinute", "Calls a minute", "At most.", Kind.NUMBER, 6_000, step="advanced"),
    SettingField("callsPerDay", "Calls a day", "At most.", Kind.NUMBER, 8_640_000, step="advanced"),
    SettingField(
        "retryHours",
        "Hours to try a message again",
        "Then it is put aside as a failure.",
        Kind.NUMBER,
        RETRY_HOURS,
        step="advanced",
    ),
)
