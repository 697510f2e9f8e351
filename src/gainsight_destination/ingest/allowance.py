"""How much one source may send: messages by the second, bytes by the UTC day, as the workspace file limits it."""

from math import ceil
from typing import Final

from gainsight_destination.eventlog.contract import DAY_MS
from gainsight_destination.ingest.watermarks import Refusal, as_retry_after
from gainsight_destination.workspace.model import SourceLimits

MEGABYTE_BYTES: Final = 1_000_000


class Allowance:
    """What is left to one source. A full second may come at once.

    A request is taken while anything is left, and what it takes too much is missing afterwards: a batch larger than a
    second's messages has its turn too, and on the average the limit holds.
    """

    def __init__(self, limits: SourceLimits) -> None:
        self.limits = limits
        self._per_second = limits.messages_per_second
        self._per_day_bytes = (
            None if limits.megabytes_per_day is None else round(limits.megabytes_per_day * MEGABYTE_BYTES)
        )
        self._messages = float(self._per_second or 0)
        self._filled_ms: int | None = None
        self._day = 0
        self._day_bytes = 0

    def know_day(self, now_ms: int, received_bytes: int) -> None:
        """Go on from what the log received today: it survives restarts, and what was refused by the disk is not in."""
        self._day, self._day_bytes = now_ms // DAY_MS, received_bytes

    def take(self, messages: int, size_bytes: int, now_ms: int) -> Refusal | None:
        """Spend a request's part of what is left, or say why it is refused."""
        refusal = self._day_refusal(now_ms) or self._rate_refusal(now_ms)
        if refusal is None:
            self._messages -= messages
            self._day_bytes += size_bytes
        return refusal

    def _day_refusal(self, now_ms: int) -> Refusal | None:
        if self._per_day_bytes is None:
            return None
        day = now_ms // DAY_MS
        if day > self._day:
            self._day, self._day_bytes = day, 0
        if self._day_bytes < self._per_day_bytes:
            return None
        words = f"its {self.limits.megabytes_per_day:,} MB of this day have come (megabytesPerDay)"
        return Refusal("megabytes_per_day", words, as_retry_after(((day + 1) * DAY_MS - now_ms) / 1_000))

    def _rate_refusal(self, now_ms: int) -> Refusal | None:
        if self._per_second is None:
            return None
        elapsed_ms = 0 if self._filled_ms is None else max(0, now_ms - self._filled_ms)
        self._messages = min(self._per_second, self._messages + elapsed_ms * self._per_second / 1_000)
        self._filled_ms = now_ms
        if self._messages > 0:
            return None
        messages = "1 message" if self._per_second == 1 else f"{self._per_second:,} messages"
        words = f"it sends more than {messages} per second (messagesPerSecond)"
        return Refusal("messages_per_second", words, as_retry_after(ceil(1 - self._messages) / self._per_second))
