"""The books: how many messages stand where, per destination and source, kept in step with every change.

received = discarded + duplicates + filtered + parked + pending + delivered + dead, always. A message enters once and
then only moves, so each move takes from one account what it gives to another, in the transaction that moves it.
What came to stand where is entered in the history too.
"""

import sqlite3
from collections import Counter
from typing import Final

from gainsight_destination.records import history

RECEIVED: Final = "received"
ACCEPTED: Final = "accepted"
DISCARDED: Final = "discarded"
DUPLICATES: Final = "duplicates"
FILTERED: Final = "filtered"
PARKED: Final = "parked"
PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"

_IN_HISTORY: Final = frozenset({FILTERED, PARKED, DELIVERED, DEAD})


class Books:
    """The changes of one transaction; `flush` writes them."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._changes: Counter[tuple[int, int, str, str]] = Counter()
        self._history: Counter[tuple[int, int, str]] = Counter()

    def enter(self, destination_id: int, source_id: int, state: str, reason: str, messages: int = 1) -> None:
        """Count newly received messages where they stand first."""
        self._changes[destination_id, source_id, RECEIVED, ""] += messages
        self._changes[destination_id, source_id, state, reason] += messages
        if destination_id == history.WORKSPACE:
            self._history[destination_id, source_id, history.RESOLVED] += messages
            if state != ACCEPTED:
                self._history[destination_id, source_id, state] += messages
        elif state in _IN_HISTORY:
            self._history[destination_id, source_id, state] += messages

    def move(self, destination_id: int, source_id: int, before: tuple[str, str], after: tuple[str, str]) -> None:
        """A message went from one (state, reason) to another."""
        if before != after:
            self._changes[destination_id, source_id, *before] -= 1
            self._changes[destination_id, source_id, *after] += 1
            if after[0] in _IN_HISTORY:
                self._history[destination_id, source_id, after[0]] += 1

    def arrived(self, destination_id: int, source_id: int, received_at_ms: int) -> None:
        """A message was delivered now: how long that took since its receipt."""
        self._history[destination_id, source_id, history.latency_figure(self._now_ms - received_at_ms)] += 1

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the changes; part of the caller's transaction."""
        connection.executemany(
            "INSERT INTO books (destination_id, source_id, state, reason, messages) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            [(*account, change) for account, change in self._changes.items() if change],
        )
        minute = self._now_ms // history.MINUTE_MS
        history.add(connection, {(minute, *place): messages for place, messages in self._history.items()})
        self._changes.clear()
        self._history.clear()
