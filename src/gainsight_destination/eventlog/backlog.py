"""How much of the log the engine has not read yet, in bytes and by source: differences of sums, however much that is.

The log sums up what came, `state.db` what was read of it, in the transaction that reads. What was read is looked at
first: what comes in between can only add to the difference, which is never negative.
"""

import sqlite3
from collections.abc import Mapping

from gainsight_destination.eventlog.contract import EventLog


def read_bytes(state: sqlite3.Connection) -> Mapping[int, int]:
    """Bytes of the bodies that were read, per source id."""
    return dict(state.execute("SELECT source_id, coalesce(body_bytes, 0) FROM read_messages"))


def unread_bytes(read: Mapping[int, int], log: EventLog) -> dict[int, int]:
    """Bytes of the bodies that are not read, per source id; sources without any are left out."""
    return {
        source_id: unread
        for source_id, received in log.received_in_detail().items()
        if (unread := received.body_bytes - read.get(source_id, 0)) > 0
    }


def count_read_bytes(state: sqlite3.Connection, log: EventLog) -> None:
    """Count, once, what 0.1.0 read without counting. Part of the caller's transaction; nobody may read meanwhile."""
    if state.execute("SELECT 1 FROM read_messages WHERE body_bytes IS NULL").fetchone() is None:
        return
    (next_offset,) = state.execute("SELECT next_offset FROM reader").fetchone()
    unread = log.bytes_from(next_offset)
    state.executemany(
        "UPDATE read_messages SET body_bytes = ? WHERE source_id = ? AND body_bytes IS NULL",
        [
            (received.body_bytes - unread.get(source_id, 0), source_id)
            for source_id, received in log.received_in_detail().items()
        ],
    )
