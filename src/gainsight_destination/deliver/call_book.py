"""The book of the newest calls: what was called, how it ended, and which call carried a record last.

A call is entered in the transaction that spends the quota for it, its outcome in the next one that its destination
writes. Bodies are not kept: those of refused records are in their dead letters.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from gainsight_destination.destinations.contract import Call, Record
from gainsight_destination.records import history

KEPT_CALLS: Final = 20_000
THROTTLED: Final = "429"


class Ended(NamedTuple):
    """How a call ended: `outcome` is an HTTP status, or what broke the connection."""

    call_id: int
    destination_id: int
    at_ms: int
    outcome: str
    milliseconds: int


def enter(connection: sqlite3.Connection, destination_id: int, call: Call, about: Sequence[Record], now_ms: int) -> int:
    """Enter a call that is about to be sent; its number. Part of the caller's transaction."""
    call_id = connection.execute(
        "INSERT INTO calls (destination_id, at_ms, method, path, records) VALUES (?,?,?,?,?)",
        (destination_id, now_ms, call.method, call.path, len(about)),
    ).lastrowid
    assert call_id is not None
    connection.execute("DELETE FROM calls WHERE id <= ?", (call_id - KEPT_CALLS,))
    connection.executemany("UPDATE records SET last_call = ? WHERE id = ?", [(call_id, record.id) for record in about])
    place = (now_ms // history.MINUTE_MS, destination_id, history.NO_SOURCE, history.CALLS)
    history.add(connection, {place: 1})
    return call_id


def enter_ends(connection: sqlite3.Connection, ends: Iterable[Ended]) -> None:
    """Enter how calls ended; part of the caller's transaction."""
    for end in ends:
        connection.execute(
            "UPDATE calls SET outcome = ?, milliseconds = ? WHERE id = ?", (end.outcome, end.milliseconds, end.call_id)
        )
        if end.outcome == THROTTLED:
            place = (end.at_ms // history.MINUTE_MS, end.destination_id, history.NO_SOURCE, history.REFUSED_CALLS)
            history.add(connection, {place: 1})


class Entered(NamedTuple):
    """A call of the book. `outcome` None: it is under way, or its end was never entered."""

    at_ms: int
    method: str
    path: str
    records: int
    outcome: str | None
    milliseconds: int | None


def find(connection: sqlite3.Connection, call_id: int) -> Entered | None:
    """A call by its number; None when the book holds it no more."""
    row = connection.execute(
        "SELECT at_ms, method, path, records, outcome, milliseconds FROM calls WHERE id = ?", (call_id,)
    ).fetchone()
    return None if row is None else Entered(*row)
