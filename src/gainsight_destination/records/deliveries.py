"""Messages on their way to a destination: rows of the `deliveries` table, and the states they can be in.

A delivery is dead when a record it touched is dead, parked when one is parked, pending when one is still dirty, and
delivered when all are clean. Its id is one number made of destination and offset, so that new rows go to the right edge
of one tree.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from gainsight_destination.destinations.contract import Delivery
from gainsight_destination.records.books import DEAD, DELIVERED, PARKED, PENDING, Books

OFFSETS: Final = 1 << 44
"""Ids of one destination: more offsets than a log will ever count."""

_COLUMNS: Final = Delivery.__struct_fields__[1:]
_LIST: Final = ", ".join(_COLUMNS)
_SELECT: Final = f"SELECT id, {_LIST} FROM deliveries"
_LATER: Final = ("parked_records", "dead_records", "without_account", "untrusted")
_NEW: Final = tuple(column for column in _COLUMNS if column not in _LATER)
_INSERT: Final = f"INSERT INTO deliveries (id, {', '.join(_NEW)}) VALUES (?{',?' * len(_NEW)})"


def delivery_id(destination_id: int, offset: int) -> int:
    """The id of a message on its way to a destination."""
    return destination_id * OFFSETS + offset


def delivery_ids(destination_id: int) -> tuple[int, int]:
    """The first and the last id of a destination."""
    return destination_id * OFFSETS, (destination_id + 1) * OFFSETS - 1


def state_of_records(delivery: Delivery, parked_because: str = "") -> tuple[str, str]:
    """(state, reason) of a delivery that touches records; one that was parked before keeps its reason."""
    if delivery.dead_records:
        return DEAD, ""
    if delivery.parked_records:
        return PARKED, delivery.reason if delivery.state == PARKED else parked_because
    if delivery.open_records:
        return PENDING, ""
    return DELIVERED, ""


def insert(connection: sqlite3.Connection, destination_id: int, deliveries: Sequence[Delivery]) -> None:
    """Write new deliveries, in log order."""
    first = destination_id * OFFSETS
    connection.executemany(
        _INSERT,
        [
            (
                first + d.offset,
                d.source_id,
                d.type,
                d.message_id,
                d.identity_id,
                d.anonymous_id,
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
                d.own_record,
            )
            for d in deliveries
        ],
    )
    connection.executemany(
        "UPDATE deliveries SET parked_records = ?, untrusted = ? WHERE id = ?",
        [(d.parked_records, d.untrusted, first + d.offset) for d in deliveries if d.parked_records or d.untrusted],
    )


def get(connection: sqlite3.Connection, destination_id: int, offset: int) -> Delivery | None:
    row = connection.execute(f"{_SELECT} WHERE id = ?", (delivery_id(destination_id, offset),)).fetchone()
    return None if row is None else _delivery(row)


def of_identity(
    connection: sqlite3.Connection, destination_id: int, identity_id: int, from_ms: int, until_ms: int, since_ms: int
) -> list[Delivery]:
    """Deliveries of an identity's messages dated in an interval and received at or after `since_ms`."""
    rows = connection.execute(
        f"{_SELECT} WHERE identity_id = ? AND at_ms >= ? AND at_ms < ? AND received_at_ms >= ? AND id BETWEEN ? AND ?",
        (identity_id, from_ms, until_ms, since_ms, *delivery_ids(destination_id)),
    )
    return [_delivery(row) for row in rows]


def page(connection: sqlite3.Connection, destination_id: int, after_offset: int, limit: int) -> list[Delivery]:
    """Deliveries after an offset, in log order."""
    rows = connection.execute(
        f"{_SELECT} WHERE id > ? AND id <= ? ORDER BY id LIMIT ?",
        (delivery_id(destination_id, after_offset), delivery_ids(destination_id)[1], limit),
    )
    return [_delivery(row) for row in rows]


def stretch(
    connection: sqlite3.Connection, destination_id: int, from_offset: int, until_offset: int
) -> dict[int, Delivery]:
    """Deliveries of a stretch of the log, by offset."""
    rows = connection.execute(
        f"{_SELECT} WHERE id >= ? AND id < ?",
        (delivery_id(destination_id, from_offset), delivery_id(destination_id, until_offset)),
    )
    return {delivery.offset: delivery for delivery in map(_delivery, rows)}


def parked(connection: sqlite3.Connection, destination_id: int, after_offset: int, limit: int) -> list[Delivery]:
    """Parked deliveries after an offset, in log order."""
    rows = connection.execute(
        f"{_SELECT} INDEXED BY deliveries_parked WHERE state = 'parked' AND id > ? AND id <= ? ORDER BY id LIMIT ?",
        (delivery_id(destination_id, after_offset), delivery_ids(destination_id)[1], limit),
    )
    return [_delivery(row) for row in rows]


def parked_before(
    connection: sqlite3.Connection, destination_id: int, received_before_ms: int, limit: int
) -> list[Delivery]:
    """Parked deliveries received before a time, oldest first."""
    rows = connection.execute(
        f"{_SELECT} WHERE state = 'parked' AND received_at_ms < ? AND id BETWEEN ? AND ?"
        " ORDER BY received_at_ms, id LIMIT ?",
        (received_before_ms, *delivery_ids(destination_id), limit),
    )
    return [_delivery(row) for row in rows]


def update(connection: sqlite3.Connection, destination_id: int, delivery: Delivery) -> None:
    """Write what resolution and records made of a delivery."""
    connection.execute(
        "UPDATE deliveries SET said_account = ?, said_email = ?, user_id = ?, account_id = ?, email_id = ?, state = ?,"
        " reason = ?, open_records = ?, own_record = ?, parked_records = ?, dead_records = ?, without_account = ?,"
        " untrusted = ? WHERE id = ?",
        (
            delivery.said_account,
            delivery.said_email,
            delivery.user_id,
            delivery.account_id,
            delivery.email_id,
            delivery.state,
            delivery.reason,
            delivery.open_records,
            delivery.own_record,
            delivery.parked_records,
            delivery.dead_records,
            delivery.without_account,
            delivery.untrusted,
            delivery_id(destination_id, delivery.offset),
        ),
    )


def delete(connection: sqlite3.Connection, destination_id: int, deliveries: Iterable[Delivery]) -> None:
    """Forget deliveries; the links that only they hold are written down first."""
    settled = list(deliveries)
    connection.executemany(
        "INSERT OR IGNORE INTO links (identity_id, at_ms, message_id, user_id) VALUES (?,?,?,?)",
        sorted((d.anonymous_id, d.at_ms, d.message_id, d.identity_id) for d in settled if d.anonymous_id is not None),
    )
    connection.executemany(
        "DELETE FROM deliveries WHERE id = ?", [(delivery_id(destination_id, d.offset),) for d in settled]
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
    destination_id, parked_because = connection.execute(
        "SELECT destination_id, reason FROM records WHERE id = ?", (record_id,)
    ).fetchone()
    version_clause, version = ("", ()) if up_to_version is None else (" AND version <= ?", (up_to_version,))
    rows = connection.execute(
        "UPDATE deliveries SET open_records = open_records + ?, parked_records = parked_records + ?,"
        " dead_records = dead_records + ?"
        f" WHERE id IN (SELECT ? + offset FROM touches WHERE record_id = ?{version_clause})"
        f" RETURNING id, {_LIST}",
        (opened, parked, dead, delivery_id(destination_id, 0), record_id, *version),
    ).fetchall()
    changed = []
    for row in rows:
        delivery = _delivery(row)
        after = state_of_records(delivery, parked_because)
        before = (delivery.state, delivery.reason)
        if after != before:
            books.move(destination_id, delivery.source_id, before, after)
            if after[0] == DELIVERED:
                books.arrived(destination_id, delivery.source_id, delivery.received_at_ms)
            changed.append((*after, row[0]))
    connection.executemany("UPDATE deliveries SET state = ?, reason = ? WHERE id = ?", changed)


def _delivery(row: Sequence[Any]) -> Delivery:
    delivery = Delivery(row[0] % OFFSETS, *row[1:])
    delivery.without_account = bool(delivery.without_account)
    delivery.untrusted = bool(delivery.untrusted)
    return delivery
