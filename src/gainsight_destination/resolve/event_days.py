"""How often each name of a track event came, by UTC day of receipt: for choosing which of them to deliver.

Events that no destination gets count too, duplicates do not. Bounded, whatever the messages name.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from gainsight_destination.eventlog.contract import DAY_MS

NAMES_PER_DAY: Final = 1_000
NAME_CHARACTERS: Final = 255
OTHERS: Final = ""
KEPT_DAYS: Final = 30


def count(connection: sqlite3.Connection, messages: Mapping[tuple[int, str], int]) -> None:
    """Add messages by (day, event name), past NAMES_PER_DAY under OTHERS; part of the caller's transaction."""
    names: dict[int, int] = {}
    for (day, event), more in messages.items():
        known = connection.execute(
            "UPDATE event_days SET messages = messages + ? WHERE day = ? AND event = ?",
            (more, day, event[:NAME_CHARACTERS]),
        ).rowcount
        if known:
            continue
        if day not in names:
            (names[day],) = connection.execute("SELECT count(*) FROM event_days WHERE day = ?", (day,)).fetchone()
        names[day] += 1
        connection.execute(
            "INSERT INTO event_days (day, event, messages) VALUES (?,?,?)"
            " ON CONFLICT DO UPDATE SET messages = messages + excluded.messages",
            (day, event[:NAME_CHARACTERS] if names[day] <= NAMES_PER_DAY else OTHERS, more),
        )


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Let go of old days; part of the caller's transaction."""
    connection.execute("DELETE FROM event_days WHERE day < ?", (now_ms // DAY_MS - KEPT_DAYS,))
