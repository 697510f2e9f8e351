"""Starts replays, pauses, resumes and cancels them, and tells how they stand; with or without a running server.

The engine does the looking (resolve/replay.py): it sees within a second what is written here.
"""

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from gainsight_destination.errors import UserError
from gainsight_destination.eventlog.contract import DAY_MS, EventLog
from gainsight_destination.eventlog.receipt import first_received_since
from gainsight_destination.events.message import TYPES
from gainsight_destination.events.timestamps import iso_utc
from gainsight_destination.records import replays
from gainsight_destination.records.past_rules import first_offset_of_day
from gainsight_destination.records.replays import CANCELLED, DELIVERING, PAUSED, RUNNING, Replay, Selection

CLOCK_MARGIN_MS: Final = 3_600_000
"""The log is in the order of receipt but for a clock that was set back: so much is looked at beyond what is chosen."""


def start(
    connection: sqlite3.Connection,
    log: EventLog,
    destination_id: int,
    selection: Selection,
    *,
    again: bool,
    actor: str,
    now_ms: int,
) -> Replay:
    """Start a replay; part of the caller's transaction. `actor` is who did it. Raises UserError."""
    check(selection)
    stretch = stretch_of(connection, log, selection)
    replay_id = replays.create(connection, destination_id, selection, stretch, again=again, actor=actor, now_ms=now_ms)
    return get(connection, replay_id)


def pause(connection: sqlite3.Connection, replay_id: int, now_ms: int) -> Replay:
    """Look at no further messages; what is due already goes. Raises UserError."""
    return _change(connection, replay_id, (RUNNING,), PAUSED, now_ms)


def resume(connection: sqlite3.Connection, replay_id: int, now_ms: int) -> Replay:
    """Go on where it was paused. Raises UserError."""
    return _change(connection, replay_id, (PAUSED,), RUNNING, now_ms)


def cancel(connection: sqlite3.Connection, replay_id: int, now_ms: int) -> Replay:
    """Look at no further messages, ever; what is due already goes, and is counted. Raises UserError."""
    replay = _change(connection, replay_id, (RUNNING, PAUSED), CANCELLED, now_ms)
    replays.forget_settled(connection, replay_id)
    return replay


def get(connection: sqlite3.Connection, replay_id: int) -> Replay:
    """A replay by its number. Raises UserError when there is none."""
    replay = replays.get(connection, replay_id)
    if replay is None:
        raise UserError(f"there is no replay {replay_id}; `replay list` shows those there are")
    return replay


def _change(
    connection: sqlite3.Connection, replay_id: int, only_from: tuple[str, ...], state: str, now_ms: int
) -> Replay:
    replay = get(connection, replay_id)
    if replay.state not in only_from:
        raise UserError(f"replay {replay_id} {_STATES[replay.state]}")
    replays.change_state(connection, replay_id, state, now_ms)
    return get(connection, replay_id)


_STATES: Final = {
    RUNNING: "is running already",
    PAUSED: "is paused already",
    DELIVERING: "has looked at all its messages; what is due because of it goes like everything else",
    replays.DONE: "is done",
    CANCELLED: "was cancelled; start a new one",
}


def check(selection: Selection) -> None:
    """Raises UserError when nothing can be chosen like this."""
    if selection.type is not None and selection.type not in TYPES:
        raise UserError(f"there is no message type {selection.type!r}; there are: {', '.join(sorted(TYPES))}")
    if selection.event is not None and selection.type not in (None, "track"):
        raise UserError(f"only track messages have an event name, and {selection.type} messages are asked for")


def stretch_of(connection: sqlite3.Connection, log: EventLog, selection: Selection) -> tuple[int, int]:
    """The part of the log, resolved already, that may hold what is chosen: its first offset, and its end.

    It begins where those messages began that the log no longer holds, to the day.
    """
    (end,) = connection.execute("SELECT next_offset FROM reader").fetchone()
    if selection.until_ms is not None:
        end = first_received_since(log, selection.until_ms + CLOCK_MARGIN_MS, end)
    if selection.since_ms is None:
        return 0, end
    first = first_received_since(log, selection.since_ms - CLOCK_MARGIN_MS, end)
    start = log.start()
    if first == start:
        first = min(start, first_offset_of_day(connection, selection.since_ms // DAY_MS))
    return min(first, end), end


def told(connection: sqlite3.Connection, replay: Replay) -> dict[str, Any]:
    """A replay as it is shown: what it is, and its figures, which balance. Times are ISO 8601, UTC."""
    figures = replays.figures(connection, replay.id)
    turn = replays.to_look_at(connection, replay.destination_id)
    behind = turn.id if turn is not None and replay.state == RUNNING and turn.id != replay.id else None
    return {
        "id": replay.id,
        "state": replay.state,
        "behind": behind,
        "destination": _name(connection, "destinations", replay.destination_id),
        "again": replay.again,
        "chosenBy": selection_told(replay.selection, lambda id_: _name(connection, "sources", id_)),
        "startedBy": replay.actor,
        "startedAt": iso_utc(replay.started_at_ms),
        "stateSince": iso_utc(replay.changed_at_ms),
        "log": {
            "messages": replay.end_offset - replay.first_offset,
            "lookedAt": replay.next_offset - replay.first_offset,
            "gone": figures.gone,
            "notChosen": figures.passed,
        },
        "messages": {"chosen": figures.chosen, "touched": figures.touched, "skipped": dict(figures.skipped)},
        "records": {
            "due": dict(figures.due),
            "delivered": figures.delivered,
            "unchanged": figures.unchanged,
            "dead": figures.dead,
            "waiting": figures.waiting,
        },
    }


def selection_told(selection: Selection, source_name: Callable[[int], str]) -> dict[str, Any]:
    """What a selection says, without what it leaves open."""
    found = {
        "since": None if selection.since_ms is None else iso_utc(selection.since_ms),
        "until": None if selection.until_ms is None else iso_utc(selection.until_ms),
        "source": None if selection.source_id is None else source_name(selection.source_id),
        "user": selection.user_id,
        "event": selection.event,
        "type": selection.type,
    }
    return {name: value for name, value in found.items() if value is not None}


def _name(connection: sqlite3.Connection, table: str, row_id: int) -> str:
    row = connection.execute(f"SELECT name FROM {table} WHERE id = ?", (row_id,)).fetchone()
    return str(row_id) if row is None else str(row[0])
