"""Destinations that do not answer as they should now: since when, why, and when they are tried again."""

import sqlite3
from typing import NamedTuple


class Failure(NamedTuple):
    """A failure that goes on."""

    reason: str
    since_ms: int
    retry_at_ms: int
    times: int


def select(connection: sqlite3.Connection, destination_id: int) -> Failure | None:
    """The failure a destination is in, if it is in one."""
    row = connection.execute(
        "SELECT reason, since_ms, retry_at_ms, times FROM failures WHERE destination_id = ?", (destination_id,)
    ).fetchone()
    return None if row is None else Failure(*row)


def enter(connection: sqlite3.Connection, destination_id: int, reason: str, now_ms: int, retry_at_ms: int) -> None:
    """A call failed, once more."""
    connection.execute(
        "INSERT INTO failures (destination_id, reason, since_ms, retry_at_ms, times) VALUES (?,?,?,?,1)"
        " ON CONFLICT DO UPDATE SET reason = excluded.reason, retry_at_ms = excluded.retry_at_ms, times = times + 1",
        (destination_id, reason, now_ms, retry_at_ms),
    )


def clear(connection: sqlite3.Connection, destination_id: int) -> None:
    """A call did its work: the failure is over."""
    connection.execute("DELETE FROM failures WHERE destination_id = ?", (destination_id,))
