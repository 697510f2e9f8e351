"""Drops messages that were seen before, by message id, across the whole workspace and across restarts.

The first acknowledged wins. The memory is the `messages` table, so it is exactly as durable as what came of a message.
"""

import sqlite3
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from gainsight_destination.events.message import Message


class Earlier(NamedTuple):
    """A duplicate, and where the message it repeats stands in the log."""

    message: Message
    first_offset: int


def drop_duplicates(
    connection: sqlite3.Connection,
    messages: Sequence[Message],
    route_of: Callable[[Message], int],
    window_ms: int,
) -> tuple[list[Message], list[Earlier]]:
    """Remember messages (in log order); return the fresh ones and the duplicates."""
    if not messages:
        return [], []
    rows = [(m.offset, _digest(m.message_id), m.received_at_ms, route_of(m)) for m in messages]
    connection.executemany(
        "INSERT OR IGNORE INTO messages (offset, id_digest, received_at_ms, route) VALUES (?,?,?,?)", rows
    )
    stored = {
        offset
        for (offset,) in connection.execute(
            "SELECT offset FROM messages WHERE offset BETWEEN ? AND ?", (messages[0].offset, messages[-1].offset)
        )
    }
    if len(stored) == len(messages):
        return list(messages), []
    fresh, duplicates = [], []
    for message, row in zip(messages, rows, strict=True):
        first_offset = None if message.offset in stored else _first(connection, row, window_ms)
        if first_offset is None:
            fresh.append(message)
        else:
            duplicates.append(Earlier(message, first_offset))
    return fresh, duplicates


def find(connection: sqlite3.Connection, message_id: str) -> int | None:
    """The offset of a message by its id, while it is remembered."""
    row = connection.execute("SELECT offset FROM messages WHERE id_digest = ?", (_digest(message_id),)).fetchone()
    return None if row is None else int(row[0])


def _first(connection: sqlite3.Connection, row: tuple[int, bytes, int, int], window_ms: int) -> int | None:
    """Where the message with this id came first; None when that was too long ago to count, and now it is new."""
    _, digest, received_at_ms, _ = row
    first_offset, first_received_at_ms = connection.execute(
        "SELECT offset, received_at_ms FROM messages WHERE id_digest = ?", (digest,)
    ).fetchone()
    if received_at_ms - first_received_at_ms <= window_ms:
        return int(first_offset)
    connection.execute("UPDATE messages SET id_digest = NULL WHERE offset = ?", (first_offset,))
    connection.execute("INSERT INTO messages (offset, id_digest, received_at_ms, route) VALUES (?,?,?,?)", row)
    return None


def _digest(message_id: str) -> bytes:
    return blake2b(message_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
