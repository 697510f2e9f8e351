"""What happened minute by minute: sums, written in transactions that happen anyway and never for each message.

Every sum goes into its minute and into its hour at once, so nothing has to be folded later. Figures of the workspace
stand under destination 0:

    received               by source and minute of receipt; known once the log was read up to there
    resolved               by source: messages read from the log, `discarded` and `duplicates` among them
    lag_ms                 the longest that a message had waited in the log when it was read
    filtered, parked,      by destination and source: messages that came to stand there. One that was parked and is
    delivered, dead        delivered later counts in both
    calls, refused_calls   by destination: calls made, and those answered with 429
    within_MS, later       by destination and source: delivered messages by the time since their receipt
"""

import sqlite3
from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

WORKSPACE: Final = 0
NO_SOURCE: Final = 0

MINUTE_MS: Final = 60_000
HOUR_MINUTES: Final = 60
KEPT_MINUTES: Final = 48 * HOUR_MINUTES
KEPT_HOURS: Final = 90 * 24

RECEIVED: Final = "received"
RESOLVED: Final = "resolved"
LAG_MS: Final = "lag_ms"
CALLS: Final = "calls"
REFUSED_CALLS: Final = "refused_calls"

LATENCY_BOUNDS_MS: Final = tuple(
    seconds * 1000 for seconds in (1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3_600, 21_600, 86_400)
)
LATENCY_FIGURES: Final = (*(f"within_{bound}" for bound in LATENCY_BOUNDS_MS), "later")

Place = tuple[int, int, int, str]
"""(Unix minute, destination, source, figure)."""


def latency_figure(waited_ms: int) -> str:
    """The figure that counts a message delivered so long after its receipt."""
    return LATENCY_FIGURES[bisect_left(LATENCY_BOUNDS_MS, waited_ms)]


def add(connection: sqlite3.Connection, sums: Mapping[Place, int]) -> None:
    """Add to the sums, and to a maximum what is greater; part of the caller's transaction."""
    connection.executemany(
        "INSERT INTO history (step, start, destination_id, source_id, figure, value) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT DO UPDATE SET"
        f" value = iif(figure = '{LAG_MS}', max(value, excluded.value), value + excluded.value)",
        [
            (step, minute - minute % step, destination_id, source_id, figure, value)
            for (minute, destination_id, source_id, figure), value in sums.items()
            for step in (1, HOUR_MINUTES)
        ],
    )


def forget(connection: sqlite3.Connection, now_ms: int) -> None:
    """Let go of old minutes and hours; part of the caller's transaction."""
    minute = now_ms // MINUTE_MS
    connection.executemany(
        "DELETE FROM history WHERE step = ? AND start < ?",
        [(1, minute - KEPT_MINUTES), (HOUR_MINUTES, minute - KEPT_HOURS * HOUR_MINUTES)],
    )
