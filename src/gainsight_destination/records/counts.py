"""How many records of each kind there are, known without counting them.

Triggers follow every change of a record. New ones are counted here in bulk, once per transaction, since they are many.
"""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple

from gainsight_destination.destinations.contract import Presence
from gainsight_destination.records.priorities import Priority


class RecordCount(NamedTuple):
    """Records of one kind. `batch_limit` None: that of the object."""

    object: str
    state: str
    presence: Presence
    priority: int
    batch_limit: int | None
    records: int


def created(connection: sqlite3.Connection, destination_id: int, records: Mapping[tuple[str, Priority], int]) -> None:
    """Count new records by (object, priority): dirty, absent. Part of the transaction that writes them."""
    connection.executemany(
        "INSERT INTO record_counts VALUES (?, ?, 'dirty', 'absent', ?, 0, ?)"
        " ON CONFLICT DO UPDATE SET records = records + excluded.records",
        [(destination_id, object_name, priority, count) for (object_name, priority), count in records.items()],
    )


def of_destination(connection: sqlite3.Connection, destination_id: int) -> list[RecordCount]:
    """The kinds of a destination's records of which there are any."""
    rows = connection.execute(
        "SELECT object, state, presence, priority, nullif(batch_limit, 0), records FROM record_counts"
        " WHERE destination_id = ? AND records > 0",
        (destination_id,),
    )
    return [RecordCount(*row) for row in rows]
