"""Our share of a destination's quota: a durable ledger of the calls spent in each clock minute and UTC day.

A call is entered before it is sent, in a transaction of its own, so that neither a restart nor a crash can spend it
twice. Gainsight documents fixed windows on the clock minute; its clock and ours differ a little, so no call is sent
within a margin around a minute's turn, and every call falls into the same minute for both.
"""

import sqlite3
from typing import Final, NamedTuple

from gainsight_destination.destinations.contract import Limits, QuotaSpentError

MINUTE_MS: Final = 60_000
DAY_MINUTES: Final = 1_440
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = DAY_MINUTES * MINUTE_MS
KEPT_MINUTES: Final = 2 * DAY_MINUTES
EARLY_FLUSH_UP_TO_SECONDS: Final = 60.0


class Spent(NamedTuple):
    """Calls in the current minute, in the current UTC day, and ever."""

    minute: int
    day: int
    total: int


def spent(connection: sqlite3.Connection, destination_id: int, now_ms: int) -> Spent:
    """What the ledger says now."""
    minute = now_ms // MINUTE_MS
    day_calls, total = connection.execute(
        "SELECT coalesce(sum(calls) FILTER (WHERE day = ?), 0), coalesce(sum(calls), 0) FROM quota_days"
        " WHERE destination_id = ?",
        (minute // DAY_MINUTES, destination_id),
    ).fetchone()
    row = connection.execute(
        "SELECT calls FROM quota_minutes WHERE destination_id = ? AND minute = ?", (destination_id, minute)
    ).fetchone()
    return Spent(row[0] if row else 0, day_calls, total)


def next_call_at_ms(limits: Limits, used: Spent, now_ms: int) -> int:
    """When the next call may be sent: `now_ms` itself if at once."""
    edge_ms = round(limits.edge_seconds * 1000)
    minute = now_ms // MINUTE_MS
    if used.day >= limits.calls_per_day:
        return (minute // DAY_MINUTES + 1) * DAY_MINUTES * MINUTE_MS + edge_ms
    into_minute_ms = now_ms % MINUTE_MS
    if used.minute >= limits.calls_per_minute or into_minute_ms >= MINUTE_MS - edge_ms:
        return (minute + 1) * MINUTE_MS + edge_ms
    return minute * MINUTE_MS + max(into_minute_ms, edge_ms)


def spend(connection: sqlite3.Connection, destination_id: int, limits: Limits, now_ms: int) -> int:
    """Enter one call, part of the caller's transaction; the minute it was entered in.

    Raises QuotaSpentError, with nothing entered, when no call may be sent now.
    """
    at_ms = next_call_at_ms(limits, spent(connection, destination_id, now_ms), now_ms)
    if at_ms > now_ms:
        raise QuotaSpentError(at_ms)
    minute = now_ms // MINUTE_MS
    created = connection.execute(
        "INSERT INTO quota_minutes (destination_id, minute, calls) VALUES (?, ?, 1)"
        " ON CONFLICT DO UPDATE SET calls = calls + 1 RETURNING calls = 1",
        (destination_id, minute),
    ).fetchone()[0]
    connection.execute(
        "INSERT INTO quota_days (destination_id, day, calls) VALUES (?, ?, 1)"
        " ON CONFLICT DO UPDATE SET calls = calls + 1",
        (destination_id, minute // DAY_MINUTES),
    )
    if created:
        connection.execute(
            "DELETE FROM quota_minutes WHERE destination_id = ? AND minute < ?",
            (destination_id, minute - KEPT_MINUTES),
        )
    return minute


def uploads(connection: sqlite3.Connection, destination_id: int, now_ms: int) -> tuple[int, int]:
    """Files sent in the last hour and in the last day."""
    hour, day = connection.execute(
        "SELECT coalesce(sum(at_ms > ?2), 0), count(*) FROM uploads WHERE destination_id = ?1 AND at_ms > ?3",
        (destination_id, now_ms - HOUR_MS, now_ms - DAY_MS),
    ).fetchone()
    return hour, day


def uploads_left(connection: sqlite3.Connection, destination_id: int, limits: Limits, now_ms: int) -> int:
    """How many files may be sent now: no hour and no day, wherever it begins, sees more than our share."""
    hour, day = uploads(connection, destination_id, now_ms)
    return min(limits.uploads_per_hour - hour, limits.uploads_per_day - day)


def spend_upload(connection: sqlite3.Connection, destination_id: int, now_ms: int) -> None:
    """Enter a file, part of the caller's transaction."""
    connection.execute("DELETE FROM uploads WHERE destination_id = ? AND at_ms <= ?", (destination_id, now_ms - DAY_MS))
    connection.execute("INSERT INTO uploads (destination_id, at_ms) VALUES (?, ?)", (destination_id, now_ms))


def still_in(minute: int, limits: Limits, now_ms: int) -> bool:
    """Whether a call entered in a minute may still be sent: in that minute, and clear of its end."""
    return now_ms // MINUTE_MS == minute and now_ms % MINUTE_MS <= MINUTE_MS - round(limits.edge_seconds * 1000)


def patience_seconds(limits: Limits, used: Spent, now_ms: int) -> float:
    """How long a record may wait for its batch to fill.

    `flush_seconds` while the quota is free; a fifth of it while hardly any of the quota is used, unless so long a
    wait was set that few calls are what is wanted; and the more the day's calls run ahead of the clock, the longer,
    up to twenty times: then full batches matter more than freshness.
    """
    day_gone = (now_ms // MINUTE_MS % DAY_MINUTES + 1) / DAY_MINUTES
    day_used = used.day / limits.calls_per_day
    ahead = day_used - day_gone
    if ahead > 0.05:
        return limits.flush_seconds * min(20.0, 1 + 100 * (ahead - 0.05))
    if limits.flush_seconds > EARLY_FLUSH_UP_TO_SECONDS:
        return limits.flush_seconds
    idle = used.minute * 10 < limits.calls_per_minute and day_used < day_gone / 2
    return limits.flush_seconds / 5 if idle else limits.flush_seconds
