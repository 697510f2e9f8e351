"""Makes records due that no message changed: something they are computed from, or are sent with, became another."""

import sqlite3
from collections.abc import Collection

from gainsight_destination.records.priorities import Priority


def next_revision(connection: sqlite3.Connection) -> int:
    """A revision of the store later than that of any batch under way."""
    (revision,) = connection.execute("UPDATE reader SET revision = revision + 1 RETURNING revision").fetchone()
    return int(revision)


def make_due(connection: sqlite3.Connection, record_ids: Collection[int], now_ms: int) -> None:
    """Clean records become due; what is under way of the others does not make them clean."""
    revision = next_revision(connection)
    connection.executemany(
        "UPDATE records SET version = ?, state = 'dirty', dirty_since_ms = ?, due_at_ms = ?,"
        " priority = max(priority, ?) WHERE id = ? AND state = 'clean'",
        [(revision, now_ms, now_ms, Priority.RETRY, record_id) for record_id in sorted(record_ids)],
    )
    connection.executemany(
        "UPDATE records SET version = ? WHERE id = ? AND state <> 'clean' AND version < ?",
        [(revision, record_id, revision) for record_id in sorted(record_ids)],
    )
