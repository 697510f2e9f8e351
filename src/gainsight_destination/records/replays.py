"""Replays as the store has them: what was chosen, how far each came, and what became of its messages and records.

    running --(all of it was looked at)--> delivering --(no record waits any more)--> done
    running <--> paused, and from either: cancelled

Everything a replay did is counted in the transaction that did it, so that its figures balance at every instant: the
messages of its stretch of the log are gone, passed (not chosen), touched records or were skipped; the records it made
due are delivered, unchanged, dead or still wait.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Set
from typing import Any, Final

import msgspec

RUNNING: Final = "running"
PAUSED: Final = "paused"
DELIVERING: Final = "delivering"
DONE: Final = "done"
CANCELLED: Final = "cancelled"

GONE: Final = "gone"
PASSED: Final = "passed"
TOUCHED: Final = "touched"
SKIPPED: Final = "skipped"
DUE: Final = "due"
DELIVERED: Final = "delivered"
UNCHANGED: Final = "unchanged"
DEAD: Final = "dead"


class Selection(msgspec.Struct, frozen=True):
    """Which messages of the log; None leaves a thing open. Times are of receipt, `until_ms` exclusive."""

    since_ms: int | None = None
    until_ms: int | None = None
    source_id: int | None = None
    user_id: str | None = None
    event: str | None = None
    type: str | None = None

    @property
    def looks_inside(self) -> bool:
        """Whether it depends on what messages say, and not only on when and from where they came."""
        return not (self.user_id is None and self.event is None and self.type is None)


class Replay(msgspec.Struct, frozen=True):
    """One replay: what it is to look at, and how far it came."""

    id: int
    destination_id: int
    actor: str
    started_at_ms: int
    changed_at_ms: int
    state: str
    again: bool
    selection: Selection
    first_offset: int
    next_offset: int
    end_offset: int


class Figures(msgspec.Struct, frozen=True):
    """What became of a replay's messages and records so far."""

    gone: int
    """Messages of its stretch that the log no longer held, of whatever user and kind."""
    passed: int
    touched: int
    skipped: Mapping[str, int]
    due: Mapping[str, int]
    delivered: int
    unchanged: int
    dead: int

    @property
    def chosen(self) -> int:
        return self.touched + sum(self.skipped.values())

    @property
    def waiting(self) -> int:
        """Records that it made due and that still wait."""
        return sum(self.due.values()) - self.delivered - self.unchanged - self.dead


_COLUMNS: Final = (
    "id, destination_id, actor, started_at_ms, changed_at_ms, state, again, since_ms, until_ms, source_id, user_id,"
    " event, type, first_offset, next_offset, end_offset"
)


def create(
    connection: sqlite3.Connection,
    destination_id: int,
    selection: Selection,
    stretch: tuple[int, int],
    *,
    again: bool,
    actor: str,
    now_ms: int,
) -> int:
    """Begin a replay of a stretch of the log (first offset, end); its id. Part of the caller's transaction."""
    first_offset, end_offset = stretch
    row_id = connection.execute(
        "INSERT INTO replays (destination_id, actor, started_at_ms, changed_at_ms, state, again, since_ms, until_ms,"
        " source_id, user_id, event, type, first_offset, next_offset, end_offset)"
        f" VALUES (?,?,?,?,'{RUNNING}',?,?,?,?,?,?,?,?,?,?)",
        (
            *(destination_id, actor, now_ms, now_ms, again),
            *(selection.since_ms, selection.until_ms, selection.source_id),
            *(selection.user_id, selection.event, selection.type),
            *(first_offset, first_offset, end_offset),
        ),
    ).lastrowid
    assert row_id is not None
    return row_id


def get(connection: sqlite3.Connection, replay_id: int) -> Replay | None:
    row = connection.execute(f"SELECT {_COLUMNS} FROM replays WHERE id = ?", (replay_id,)).fetchone()
    return None if row is None else _replay(row)


def newest(connection: sqlite3.Connection, destination_id: int | None = None, limit: int = 100) -> list[Replay]:
    """Replays, of one destination or of all, newest first."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM replays WHERE ?1 IS NULL OR destination_id = ?1 ORDER BY id DESC LIMIT ?2",
        (destination_id, limit),
    )
    return [_replay(row) for row in rows]


def unfinished(connection: sqlite3.Connection, destination_id: int) -> list[Replay]:
    """Replays of a destination that are neither done nor cancelled, in the order of their turns."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM replays WHERE destination_id = ? AND state IN ('{RUNNING}', '{PAUSED}',"
        f" '{DELIVERING}') ORDER BY id",
        (destination_id,),
    )
    return [_replay(row) for row in rows]


def to_look_at(connection: sqlite3.Connection, destination_id: int) -> Replay | None:
    """The replay of a destination whose turn it is: the oldest that runs. One that is paused lets the next one go."""
    return next((replay for replay in unfinished(connection, destination_id) if replay.state == RUNNING), None)


def figures(connection: sqlite3.Connection, replay_id: int) -> Figures:
    """What became of a replay so far."""
    return figures_of(figures_by_subject(connection, replay_id))


def figures_by_subject(connection: sqlite3.Connection, replay_id: int) -> dict[tuple[str, str], int]:
    """The same by (kind, subject)."""
    rows = connection.execute("SELECT kind, subject, times FROM replay_figures WHERE replay_id = ?", (replay_id,))
    return {(kind, subject): times for kind, subject, times in rows}


def figures_of(counted: Mapping[tuple[str, str], int]) -> Figures:
    """Figures from what was counted by (kind, subject)."""

    def by_subject(wanted: str) -> dict[str, int]:
        return {subject: times for (kind, subject), times in counted.items() if kind == wanted and times}

    def total(kind: str) -> int:
        return counted.get((kind, ""), 0)

    return Figures(
        gone=total(GONE),
        passed=total(PASSED),
        touched=total(TOUCHED),
        skipped=by_subject(SKIPPED),
        due=by_subject(DUE),
        delivered=total(DELIVERED),
        unchanged=total(UNCHANGED),
        dead=total(DEAD),
    )


def change_state(connection: sqlite3.Connection, replay_id: int, state: str, now_ms: int) -> None:
    connection.execute("UPDATE replays SET state = ?, changed_at_ms = ? WHERE id = ?", (state, now_ms, replay_id))


def forget_settled(connection: sqlite3.Connection, replay_id: int) -> None:
    """Which of its records were settled matters no more, since it makes no further ones due."""
    connection.execute("DELETE FROM replay_records WHERE replay_id = ? AND waiting = 0", (replay_id,))


def count(connection: sqlite3.Connection, replay_id: int, changes: Mapping[tuple[str, str], int]) -> None:
    """Add to the figures, by (kind, subject)."""
    connection.executemany(
        "INSERT INTO replay_figures (replay_id, kind, subject, times) VALUES (?,?,?,?)"
        " ON CONFLICT DO UPDATE SET times = times + excluded.times",
        [(replay_id, *about, times) for about, times in changes.items() if times],
    )


def go_on_at(connection: sqlite3.Connection, replay: Replay, next_offset: int, now_ms: int) -> None:
    """Everything before an offset was looked at."""
    connection.execute("UPDATE replays SET next_offset = ? WHERE id = ?", (next_offset, replay.id))
    if next_offset >= replay.end_offset:
        change_state(connection, replay.id, DELIVERING, now_ms)


def make_due(connection: sqlite3.Connection, replay_id: int, record_ids: Set[int]) -> set[int]:
    """These records are due because of a replay; those that it had not made due before.

    One that it had made due before and that was settled waits once more.
    """
    known = connection.execute(
        "SELECT record_id FROM replay_records WHERE replay_id = ? AND record_id IN (SELECT value FROM json_each(?))",
        (replay_id, json.dumps(sorted(record_ids))),
    )
    new = record_ids - {record_id for (record_id,) in known}
    connection.executemany(
        "INSERT INTO replay_records (replay_id, record_id) VALUES (?,?)", [(replay_id, id_) for id_ in sorted(new)]
    )
    reopened = connection.execute(
        "UPDATE replay_records SET waiting = 1 WHERE replay_id = ? AND waiting = 0"
        " AND record_id IN (SELECT value FROM json_each(?)) RETURNING came_of",
        (replay_id, json.dumps(sorted(record_ids - new))),
    ).fetchall()
    count(connection, replay_id, {(came_of, ""): -times for (came_of,), times in Counter(reopened).items()})
    return set(new)


def waiting(connection: sqlite3.Connection, record_ids: Collection[int]) -> dict[int, bytes | None]:
    """Those of these records for which a replay waits, with the digest of what was delivered last."""
    if connection.execute("SELECT 1 FROM replay_records WHERE waiting = 1 LIMIT 1").fetchone() is None:
        return {}
    rows = connection.execute(
        "SELECT id, delivered_digest FROM records WHERE id IN (SELECT value FROM json_each(?))"
        " AND EXISTS (SELECT 1 FROM replay_records WHERE record_id = records.id AND waiting = 1)",
        (json.dumps(sorted(record_ids)),),
    )
    return dict(rows.fetchall())


def settle(connection: sqlite3.Connection, came_of: Mapping[int, str]) -> None:
    """Count what became of records that replays wait for, by record id; "" is nothing yet."""
    counted: dict[int, Counter[tuple[str, str]]] = {}
    for record_id, kind in came_of.items():
        if kind:
            rows = connection.execute(  # what a call was made for once is not unchanged
                "UPDATE replay_records SET waiting = 0,"
                f" came_of = iif(came_of = '{DELIVERED}' AND ?1 = '{UNCHANGED}', came_of, ?1)"
                " WHERE record_id = ?2 AND waiting = 1 RETURNING replay_id, came_of",
                (kind, record_id),
            ).fetchall()
            for replay_id, counts_as in rows:
                counted.setdefault(replay_id, Counter())[counts_as, ""] += 1
    for replay_id, changes in counted.items():
        count(connection, replay_id, changes)
    if counted:  # a record of one message alone cannot become due a second time
        connection.execute(
            "DELETE FROM replay_records WHERE waiting = 0 AND record_id IN (SELECT value FROM json_each(?))"
            " AND ((SELECT shared FROM records WHERE id = record_id) = 0"
            f" OR (SELECT state FROM replays WHERE id = replay_id) = '{CANCELLED}')",
            (json.dumps(sorted(came_of)),),
        )


def finish(connection: sqlite3.Connection, destination_id: int, now_ms: int) -> int:
    """End the replays of a destination that wait for no record any more; how many ended."""
    ended = [
        replay
        for replay in unfinished(connection, destination_id)
        if replay.state == DELIVERING and not figures(connection, replay.id).waiting
    ]
    for replay in ended:
        change_state(connection, replay.id, DONE, now_ms)
        connection.execute("DELETE FROM replay_records WHERE replay_id = ?", (replay.id,))
    return len(ended)


def _replay(row: Any) -> Replay:
    id_, destination_id, actor, started_at_ms, changed_at_ms, state, again = row[:7]
    chosen, (first_offset, next_offset, end_offset) = Selection(*row[7:13]), row[13:]
    return Replay(
        id_,
        destination_id,
        actor,
        started_at_ms,
        changed_at_ms,
        state,
        bool(again),
        chosen,
        first_offset,
        next_offset,
        end_offset,
    )
