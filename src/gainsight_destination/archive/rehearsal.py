"""What an import would bring, without storing anything: `--dry-run`."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gainsight_destination.eventlog.contract import Entry, LoggedEntry
from gainsight_destination.events.message import Message, read_entry
from gainsight_destination.events.timestamps import utc_day
from gainsight_destination.resolve.duplicates import count_remembered


@dataclass(slots=True)
class Rehearsal:
    """Stands where the event log would, and reads each message as the engine would."""

    state: sqlite3.Connection
    """Opened to read only."""
    duplicate_window_ms: int
    discarded: Counter[str] = field(default_factory=Counter)
    """Messages that would be discarded, by reason."""
    days: Counter[int] = field(default_factory=Counter)
    """The others by the UTC day on which they happened, in days since 1970-01-01."""
    already_in: int = 0
    """Those whose message id is remembered, so that they would be dropped as duplicates."""

    def append(self, entries: Sequence[Entry], *, live: bool) -> int:
        for entry in entries:
            messages: list[Message] = []
            for item in read_entry(LoggedEntry(0, entry)):
                if isinstance(item, Message):
                    messages.append(item)
                else:
                    self.discarded[item.reason] += 1
            self.days.update(utc_day(message.at_ms) for message in messages)
            remembered_since_ms = entry.received_at_ms - self.duplicate_window_ms
            self.already_in += count_remembered(self.state, (m.message_id for m in messages), remembered_since_ms)
        return 0
