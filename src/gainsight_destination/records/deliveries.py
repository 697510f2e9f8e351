"""Messages on their way to a destination: rows of the `deliveries` table, and the states they can be in.

A delivery is dead when a record it touched is dead, parked when one is parked, pending when one is still dirty, and
delivered when all are clean.
"""

import sqlite3
from collections.abc import Iterable
from typing import Final

from gainsight_destination.destinations.contract import Delivery
from gainsight_destination.records.books import DEAD, DELIVERED, PARKED, PENDING, Books

_COLUMNS: Final = Delivery.__struct_fields__
_LIST: Final = ", ".join(_COLUMNS)
_INSERT: Final = f"INSERT INTO deliveries (destination_id, {_LIST}) VALUES (?{',?' * len(_COLUMNS)})"
_SELECT: Final = f"SELECT {_LIST} FROM deliveries WHERE destination_id = ?"


def state_of_records(delivery: Delivery, parked_because: str = "") -> tuple[str, str]:
    """(state, reason) of a delivery that touches records; one that was parked before keeps its reason."""
    if delivery.dead_records:
        return DEAD, ""
    if delivery.parked_records:
        return PARKED, delivery.reason if delivery.state == PARKED else parked_because
    if delivery.open_records:
        return PENDING, ""
    return DELIVERED, ""


def insert(connection: sqlite3.Connection, destination_id: int, deliveries: Iterable[Delivery]) -> None:
    connection.executemany(
        _INSERT,
        [
            (
                destination_id,
                d.offset,
                d.source_id,
                d.type,
                d.message_id,
                d.identity_id,
                d.at_ms,
                d.received_at_ms,
                d.event_id,
                d.said_account,
                d.said_email,
                d.user_id,
                d.account_id,
                d.email_id,
                d.state,
                d.reason,
                d.open_records,
                d.parked_records,
                d.dead_records,
                d.without_account,
            )
            for d in deliveries
        ],
    )


def get(connection: sqlite3.Connection, destination_id: int, offset: int) -> Delivery | None:
    row = connection.execute(f"{_SELECT} AND offset = ?", (destination_id, offset)).fetchone()
    return None if row is None else Delivery(*row)


def of_identity(
    connection: sqlite3.Connection, destination_id: int, identity_id: int, from_ms: int, until_ms: int, since_ms: int
) -> list[Delivery]:
    """Deliveries of an identity's messages dated in an interval and received at or after `since_ms`."""
    rows = connection.execute(
        f"{_SELECT} AND identity_id = ? AND at_ms >= ? AND at_ms < ? AND received_at_ms >= ?",
        (destination_id, identity_id, from_ms, until_ms, since_ms),
    )
    return [Delivery(*row) for row in rows]


def page(connection: sqlite3.Connection, destination_id: int, after_offset: int, limit: int) -> list[Delivery]:
    """Deliveries after an offset, in log order."""
    rows = connection.execute(
        f"{_SELECT} AND offset > ? ORDER BY offset LIMIT ?", (destination_id, after_offset, limit)
    )
    return [Delivery(*row) for row in rows]


def parked(connection: sqlite3.Connection, destination_id: int, after_offset: int, limit: int) -> list[Delivery]:
    """Parked deliveries after an offset, in log order."""
    rows = connection.execute(
        f"{_SELECT} AND state = 'parked' AND offset > ? ORDER BY offset LIMIT ?", (destination_id, after_offset, limit)
    )
    return [Delivery(*row) for row in rows]


def parked_before(
    connection: sqlite3.Connection, destination_id: int, received_before_ms: int, limit: int
) -> list[Delivery]:
    """Parked deliveries received before a time, oldest first."""
    rows = connection.execute(
        f"{_SELECT} AND state = 'parked' AND received_at_ms < ? ORDER BY received_at_ms, offset LIMIT ?",
        (destination_id, received_before_ms, limit),
    )
    return [Delivery(*row) for row in rows]


def update(connection: sqlite3.Connection, destination_id: int, delivery: Delivery) -> None:
    """Write what resolution and records made of a delivery."""
    connection.execute(
        "UPDATE deliveries SET user_id = ?, account_id = ?, email_id = ?, state = ?, reason = ?, open_records = ?,"
        " parked_records = ?, dead_records = ?, without_account = ? WHERE destination_id = ? AND offset = ?",
        (
            delivery.user_id,
            delivery.account_id,
            delivery.email_id,
            delivery.state,
            delivery.reason,
            delivery.open_records,
            delivery.parked_records,
            delivery.dead_records,
            delivery.without_account,
            destination_id,
            delivery.offset,
        ),
    )


def shift_waiting(
    connection: sqlite3.Connection,
    books: Books,
    record_id: int,
    *,
    up_to_version: int | None = None,
    opened: int = 0,
    parked: int = 0,
    dead: int = 0,
) -> None:
    """Change the counts of every delivery that waits for a record, and move it in the books accordingly."""
    (parked_because,) = connection.execute("SELECT reason FROM records WHERE id = ?", (record_id,)).fetchone()
    version_clause, version = ("", ()) if up_to_version is None else (" AND version <= ?", (up_to_version,))
    rows = connection.execute(
        "UPDATE deliveries SET open_records = open_records + ?, parked_records = parked_records + ?,"
        " dead_records = dead_records + ?"
        " WHERE destination_id = (SELECT destination_id FROM records WHERE id = ?)"
        f" AND offset IN (SELECT offset FROM touches WHERE record_id = ?{version_clause})"
        f" RETURNING destination_id, {_LIST}",
        (opened, parked, dead, record_id, record_id, *version),
    ).fetchall()
    changed = []
    for destination_id, *columns in rows:
        delivery = Delivery(*columns)
        after = state_of_records(delivery, parked_because)
        before = (delivery.state, delivery.reason)
        if after != before:
            books.move(destination_id, delivery.source_id, before, after)
            changed.append((*after, destination_id, delivery.offset))
    connection.executemany(
        "UPDATE deliveries SET state = ?, reason = ? WHERE destination_id = ? AND offset = ?", changed
    )
