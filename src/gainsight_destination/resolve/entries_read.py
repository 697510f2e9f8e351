"""What a batch of the log brings of each source, minute by minute."""

from collections.abc import Iterable

from gainsight_destination.eventlog.contract import LoggedEntry
from gainsight_destination.records.history import MINUTE_MS


class Read:
    """Entries of one source that were received in one minute."""

    __slots__ = ("body_bytes", "first_at_ms", "last_at_ms", "messages")

    def __init__(self, at_ms: int) -> None:
        self.messages = 0
        self.body_bytes = 0
        self.first_at_ms = self.last_at_ms = at_ms


def read_by_minute(entries: Iterable[LoggedEntry]) -> dict[tuple[int, int], Read]:
    """By (source, Unix minute of receipt), in log order. Neighbours nearly always belong together."""
    found: dict[tuple[int, int], Read] = {}
    read, source, from_ms, until_ms = Read(0), -1, 0, 0
    for logged in entries:
        entry = logged.entry
        at_ms = entry.received_at_ms
        if entry.source_id != source or not from_ms <= at_ms < until_ms:
            source, minute = entry.source_id, at_ms // MINUTE_MS
            from_ms, until_ms = minute * MINUTE_MS, (minute + 1) * MINUTE_MS
            known = found.get((source, minute))
            read = found[source, minute] = Read(at_ms) if known is None else known
        read.messages += entry.count
        read.body_bytes += len(entry.body)
        read.last_at_ms = at_ms
    return found
