"""Which records go first when more waits than can go: live, then retries, then backfill, then replay.

A record belongs to the first of these that touched it since it was clean. What a message is worth is known from the
entry that it came in; a batch of the log is nearly always of one sort, so nothing is asked for each message.
"""

from bisect import bisect_right
from collections.abc import Sequence
from enum import IntEnum

from gainsight_destination.eventlog.contract import EntryKind, LoggedEntry


class Priority(IntEnum):
    """Stored with each record; less goes first."""

    LIVE = 0
    RETRY = 1
    """It failed, was parked or was delivered before: a message that is on its way now goes ahead of it."""
    BACKFILL = 2
    """Only archives touched it."""
    REPLAY = 3
    """Only messages that were read from the log once more touched it."""


class Arrivals:
    """How the messages of some log entries, in order, came: live, or from archives.

    `replayed`: they came long ago, and are looked at once more.
    """

    def __init__(self, entries: Sequence[LoggedEntry], *, replayed: bool = False) -> None:
        if replayed:
            self.mixed, self.priority = False, Priority.REPLAY
            return
        archived = [logged for logged in entries if logged.entry.kind == EntryKind.ARCHIVE]
        self.mixed = 0 < len(archived) < len(entries)
        self.priority = Priority.BACKFILL if archived and not self.mixed else Priority.LIVE
        """That of all messages, unless they are `mixed`."""
        self._starts = [logged.offset for logged in archived]
        self._ends = [logged.end for logged in archived]

    def is_live(self, offset: int) -> bool:
        """Whether a message came live."""
        position = bisect_right(self._starts, offset) - 1
        return position < 0 or offset >= self._ends[position]
