"""How many rows the other side holds because of us, by object: each counts by the change of its presence, once."""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection


def count_present(connection: sqlite3.Connection, record_ids: Collection[int]) -> Counter[str]:
    """How many of these records the other side holds, by object."""
    return Counter(
        dict(
            connection.execute(
                "SELECT object, count(*) FROM records WHERE presence = 'present'"
                " AND id IN (SELECT value FROM json_each(?)) GROUP BY object",
                (json.dumps(sorted(record_ids)),),
            )
        )
    )


def count_change(
    connection: sqlite3.Connection, destination_id: int, before: Counter[str], after: Counter[str]
) -> None:
    """Keep count after the presence of some records changed, from how many were present before and are now."""
    after.subtract(before)
    connection.executemany(
        "INSERT INTO held_rows (destination_id, object, rows) VALUES (?,?,?)"
        " ON CONFLICT DO UPDATE SET rows = max(0, rows + excluded.rows)",
        [(destination_id, object_name, more) for object_name, more in sorted(after.items()) if more],
    )


def held_rows(connection: sqlite3.Connection, destination_id: int) -> dict[str, int]:
    """Rows that the other side holds because of us, by object, as far as they were counted."""
    return dict(connection.execute("SELECT object, rows FROM held_rows WHERE destination_id = ?", (destination_id,)))
