"""Finds a place in the log by the time of receipt: entries are in that order, as far as the clock never went back."""

from gainsight_destination.eventlog.contract import EventLog


def first_received_since(log: EventLog, since_ms: int, end: int) -> int:
    """The offset of the first entry kept that was received at a time or later, by bisection; `end` if none was."""
    found = low = log.start()
    high = min(log.end(), end)
    while low < high:
        middle = (low + high) // 2
        logged = log.entry_of(middle)
        if logged is not None and logged.entry.received_at_ms < since_ms:
            low = found = min(logged.end, high)
        else:
            high = middle
    return found
