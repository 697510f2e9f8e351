"""Destinations and objects that wait for a person: why, since when, and when they are tried again."""

import sqlite3
from typing import Final, NamedTuple

PROBE_SECONDS: Final = 300.0


class Pause(NamedTuple):
    """`object` is empty when the whole destination is paused."""

    object: str
    reason: str
    since_ms: int
    retry_at_ms: int
    settings_version: int


def select(connection: sqlite3.Connection, destination_id: int) -> dict[str, Pause]:
    """The pauses of a destination by object."""
    rows = connection.execute(
        "SELECT object, reason, since_ms, retry_at_ms, settings_version FROM pauses WHERE destination_id = ?",
        (destination_id,),
    )
    return {row[0]: Pause(*row) for row in rows}


def pause(
    connection: sqlite3.Connection,
    destination_id: int,
    object_name: str,
    reason: str,
    settings_version: int,
    now_ms: int,
) -> None:
    """Pause a destination or an object, or prolong its pause."""
    connection.execute(
        "INSERT INTO pauses (destination_id, object, reason, since_ms, retry_at_ms, settings_version)"
        " VALUES (?,?,?,?,?,?) ON CONFLICT DO UPDATE SET reason = excluded.reason,"
        " retry_at_ms = excluded.retry_at_ms, settings_version = excluded.settings_version",
        (destination_id, object_name, reason, now_ms, now_ms + round(PROBE_SECONDS * 1000), settings_version),
    )


def resume(connection: sqlite3.Connection, destination_id: int, object_name: str) -> None:
    connection.execute("DELETE FROM pauses WHERE destination_id = ? AND object = ?", (destination_id, object_name))
