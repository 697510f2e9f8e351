"""Keeps the order of records that are delivered one after another: only the first of a lane is due, the rest is queued.

A lane is a user's. The next record of a lane has its turn when the one before it is clean or dead. A dead one that is
tried again later stands beside its lane, which is a negative number then: it holds up nobody behind it. What a replay
sends has lanes of its own, so that a live message does not stand behind a month of old ones.
"""

import json
import sqlite3
from collections.abc import Collection, Mapping
from typing import Final

REPLAY_LANES: Final = 1 << 40
"""Added to the number of a user's lane: more than there will be identities."""


def line_up(connection: sqlite3.Connection, destination_id: int, lanes: Mapping[int, int]) -> None:
    """Put new records, by id, at the end of their lanes; part of the caller's transaction."""
    connection.executemany(
        "UPDATE records SET state = 'queued', lane = ? WHERE id = ?",
        [(lane, record_id) for record_id, lane in lanes.items()],
    )
    _let_first_go(connection, destination_id, set(lanes.values()))


def go_on(connection: sqlite3.Connection, destination_id: int, record_ids: Collection[int]) -> None:
    """Let those go that stand behind these records, which are clean or dead now."""
    lanes = connection.execute(
        "SELECT DISTINCT lane FROM records WHERE lane >= 0 AND id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(record_ids)),),
    ).fetchall()
    if lanes:
        _let_first_go(connection, destination_id, {lane for (lane,) in lanes})


def step_aside(connection: sqlite3.Connection, record_id: int) -> None:
    """Take a dead record out of its lane, to be tried again in no order."""
    connection.execute("UPDATE records SET lane = -lane WHERE id = ? AND lane > 0", (record_id,))


def _let_first_go(connection: sqlite3.Connection, destination_id: int, lanes: Collection[int]) -> None:
    connection.execute(
        "UPDATE records SET state = 'dirty' WHERE state = 'queued' AND id IN"
        " (SELECT (SELECT min(id) FROM records WHERE destination_id = ? AND lane = value"
        " AND state IN ('dirty', 'queued')) FROM json_each(?))",
        (destination_id, json.dumps(sorted(lanes))),
    )
