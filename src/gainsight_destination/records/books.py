"""The books: how many messages stand where, per destination and source, kept in step with every change.

received = discarded + duplicates + filtered + parked + pending + delivered + dead, always. A message enters once and
then only moves, so each move takes from one account what it gives to another, in the transaction that moves it.
"""

import sqlite3
from collections import Counter
from typing import Final

RECEIVED: Final = "received"
DISCARDED: Final = "discarded"
DUPLICATES: Final = "duplicates"
FILTERED: Final = "filtered"
PARKED: Final = "parked"
PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"


class Books:
    """The changes of one transaction; `flush` writes them."""

    def __init__(self) -> None:
        self._changes: Counter[tuple[int, int, str, str]] = Counter()

    def enter(self, destination_id: int, source_id: int, state: str, reason: str, messages: int = 1) -> None:
        """Count newly received messages where they stand first."""
        self._changes[destination_id, source_id, RECEIVED, ""] += messages
        self._changes[destination_id, source_id, state, reason] += messages

    def move(self, destination_id: int, source_id: int, before: tuple[str, str], after: tuple[str, str]) -> None:
        """A message went from one (state, reason) to another."""
        if before != after:
            self._changes[destination_id, source_id, *before] -= 1
            self._changes[destination_id, source_id, *after] += 1

    def flush(self, connection: sqlite3.Connection) -> None:
        """Write the changes; part of the caller's transaction."""
        connection.executemany(
            "INSERT INTO books (destination_id, source_id, state, reason, messages) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            [(*account, change) for account, change in self._changes.items() if change],
        )
        self._changes.clear()
