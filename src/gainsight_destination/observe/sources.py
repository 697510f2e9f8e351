"""When messages of each source came: for somebody who waits for the first one."""

import sqlite3
from typing import Final

import msgspec

from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.records.history import HOUR_MINUTES, MINUTE_MS, RECEIVED, WORKSPACE

DAY_MINUTES: Final = 24 * HOUR_MINUTES


class SourceActivity(msgspec.Struct, frozen=True):
    """What ever came of a source. Times of receipt are of messages that the engine has read; `first_at_ms` is None too
    if the first came before it was kept."""

    source: str
    received: int
    first_at_ms: int | None
    last_at_ms: int | None
    last_day: int
    """Messages in the last 24 hours, to the minute, as far as the engine has read them."""


def source_activity(connection: sqlite3.Connection, log: EventLog, now_ms: int) -> list[SourceActivity]:
    """All sources by name. `connection` is inside a read transaction."""
    minute = now_ms // MINUTE_MS
    last_day = dict(
        connection.execute(
            "SELECT source_id, sum(value) FROM history WHERE step = 1 AND start > ? AND start <= ?"
            " AND destination_id = ? AND figure = ? GROUP BY source_id",
            (minute - DAY_MINUTES, minute, WORKSPACE, RECEIVED),
        )
    )
    rows = connection.execute(
        "SELECT id, name, first_at_ms, last_at_ms FROM sources LEFT JOIN read_messages ON source_id = id ORDER BY name"
    ).fetchall()
    received = log.received()
    return [
        SourceActivity(name, received.get(source_id, 0), first_at_ms, last_at_ms, last_day.get(source_id, 0))
        for source_id, name, first_at_ms, last_at_ms in rows
    ]


def first_event_of(connection: sqlite3.Connection, log: EventLog, source: str, now_ms: int) -> SourceActivity | None:
    """What came of one source, by its name; None when there is no such source."""
    return next((found for found in source_activity(connection, log, now_ms) if found.source == source), None)
