"""Remote ids of records that others point at, and who waits for the ones not there yet."""

import sqlite3
from collections.abc import Collection, Mapping

from gainsight_destination.destinations.contract import Reference
from gainsight_destination.records.due import make_due


def known(
    connection: sqlite3.Connection, destination_id: int, references: Collection[Reference], absent_since_ms: int
) -> dict[Reference, str | None]:
    """What is known; an absence noticed before `absent_since_ms` counts as unknown."""
    found: dict[Reference, str | None] = {}
    for reference in references:
        row = connection.execute(
            "SELECT remote_id FROM references_known WHERE destination_id = ? AND object = ? AND name = ?"
            " AND (remote_id IS NOT NULL OR checked_at_ms >= ?)",
            (destination_id, *reference, absent_since_ms),
        ).fetchone()
        if row is not None:
            found[reference] = row[0]
    return found


def learn(
    connection: sqlite3.Connection, destination_id: int, remote_ids: Mapping[Reference, str | None], now_ms: int
) -> int:
    """Remember remote ids and make the records due that lacked them; how many became due."""
    connection.executemany(
        "INSERT INTO references_known (destination_id, object, name, remote_id, checked_at_ms) VALUES (?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET checked_at_ms = excluded.checked_at_ms,"
        " remote_id = CASE WHEN excluded.remote_id = '' THEN coalesce(nullif(remote_id, ''), '')"
        " ELSE excluded.remote_id END",
        [(destination_id, *reference, remote_id, now_ms) for reference, remote_id in remote_ids.items()],
    )
    return _wake(connection, destination_id, remote_ids, now_ms)


def _wake(
    connection: sqlite3.Connection, destination_id: int, remote_ids: Mapping[Reference, str | None], now_ms: int
) -> int:
    """Make the records due that wait for these references."""
    woken: set[int] = set()
    for reference, remote_id in remote_ids.items():
        if remote_id is not None:
            woken.update(
                record_id
                for (record_id,) in connection.execute(
                    "DELETE FROM references_missing WHERE destination_id = ? AND object = ? AND name = ?"
                    " RETURNING record_id",
                    (destination_id, *reference),
                )
            )
    if woken:
        make_due(connection, woken, now_ms)
    return len(woken)


def forget(connection: sqlite3.Connection, destination_id: int, references: Collection[Reference]) -> None:
    connection.executemany(
        "DELETE FROM references_known WHERE destination_id = ? AND object = ? AND name = ?",
        [(destination_id, *reference) for reference in references],
    )


def set_missing(
    connection: sqlite3.Connection, destination_id: int, record_id: int, missing: Collection[Reference], now_ms: int
) -> None:
    """Which references a record was delivered without; if one has become known meanwhile, the record is due again."""
    connection.execute("DELETE FROM references_missing WHERE record_id = ?", (record_id,))
    connection.executemany(
        "INSERT OR IGNORE INTO references_missing (destination_id, object, name, record_id) VALUES (?,?,?,?)",
        [(destination_id, *reference, record_id) for reference in missing],
    )
    come_since = {
        reference: remote_id
        for reference, remote_id in known(connection, destination_id, missing, now_ms).items()
        if remote_id is not None
    }
    if come_since:
        _wake(connection, destination_id, come_since, now_ms)


def stale(
    connection: sqlite3.Connection, destination_id: int, object_name: str, absent_before_ms: int, limit: int
) -> list[Reference]:
    """Absent references that some record waits for and that were last looked for long ago."""
    rows = connection.execute(
        "SELECT k.object, k.name FROM references_known k"
        " WHERE k.destination_id = ? AND k.object = ? AND k.remote_id IS NULL AND k.checked_at_ms < ?"
        " AND EXISTS (SELECT 1 FROM references_missing m WHERE m.destination_id = k.destination_id"
        " AND m.object = k.object AND m.name = k.name) ORDER BY k.checked_at_ms, k.name LIMIT ?",
        (destination_id, object_name, absent_before_ms, limit),
    )
    return [Reference(*row) for row in rows]
