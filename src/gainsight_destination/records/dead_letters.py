"""Dead letters: records the other side refused, kept with the request, the answer and what was tried.

A dead record comes back by itself when a new message changes it; a person can retry or discard it.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final

from gainsight_destination.destinations.contract import Rejected
from gainsight_destination.errors import UserError
from gainsight_destination.records.books import Books
from gainsight_destination.records.deliveries import shift_waiting
from gainsight_destination.records.due import next_revision
from gainsight_destination.records.lanes import step_aside
from gainsight_destination.records.priorities import Priority

OPEN: Final = "open"
RETRIED: Final = "retried"
DISCARDED: Final = "discarded"
SUPERSEDED: Final = "superseded"
REFUSALS_KEPT: Final = 10
FIRST_WAIT_MS: Final = 5_000
LONGEST_WAIT_MS: Final = 3_600_000
STORED_TEXT_CHARACTERS: Final = 20_000

Settle = Callable[[sqlite3.Connection, Books, int, int], None]
"""(connection, books, record id, now in milliseconds): something that a person does about a dead record."""

_COLUMNS: Final = (
    "id",
    "destination_id",
    "record_id",
    "object",
    "record_key",
    "version",
    "code",
    "message",
    "request",
    "answer",
    "attempts",
    "died_at_ms",
    "state",
    "settled_at_ms",
)


def bury(
    connection: sqlite3.Connection, books: Books, record_id: int, name: str, outcome: Rejected, now_ms: int
) -> None:
    """The other side refused a record: keep why, and count what waits for it as dead."""
    destination_id, object_name, version, attempts = connection.execute(
        "SELECT destination_id, object, version, attempts FROM records WHERE id = ?", (record_id,)
    ).fetchone()
    request = {
        "method": outcome.call.method,
        "path": outcome.call.path,
        "query": dict(outcome.call.query),
        "body": outcome.call.body,
    }
    answer = {
        "status": outcome.answer.status,
        "body": outcome.answer.body if outcome.answer.body is not None else outcome.answer.text,
    }
    said = (
        outcome.code,
        outcome.message,
        json.dumps(request, ensure_ascii=False)[:STORED_TEXT_CHARACTERS],
        json.dumps(answer, ensure_ascii=False)[:STORED_TEXT_CHARACTERS],
    )
    connection.execute(
        "INSERT INTO dead_letters (destination_id, record_id, object, record_key, version, code, message, request,"
        " answer, attempts, died_at_ms) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
        " ON CONFLICT (record_id) WHERE state = 'open' DO UPDATE SET version = excluded.version, code = excluded.code,"
        " message = excluded.message, request = excluded.request, answer = excluded.answer,"
        " attempts = excluded.attempts, died_at_ms = excluded.died_at_ms",
        (
            destination_id,
            record_id,
            object_name,
            name,
            version,
            *said,
            attempts + 1,
            now_ms,
        ),
    )
    connection.execute("INSERT OR REPLACE INTO refusals VALUES (?,?,?,?,?,?)", (record_id, now_ms, *said))
    connection.execute(
        "DELETE FROM refusals WHERE record_id = ?1 AND at_ms <="
        " (SELECT at_ms FROM refusals WHERE record_id = ?1 ORDER BY at_ms DESC LIMIT 1 OFFSET ?2)",
        (record_id, REFUSALS_KEPT),
    )
    connection.execute(
        "UPDATE records SET state = 'dead', reason = ?, attempts = attempts + 1, batch_limit = 1 WHERE id = ?",
        (outcome.code, record_id),
    )
    shift_waiting(connection, books, record_id, dead=1)


def revive(connection: sqlite3.Connection, books: Books, record_id: int, now_ms: int) -> None:
    """Give a dead record another chance, because a person says so; one that is to be tried by itself goes at once.

    What a call under way delivers of the latter is not what it is to hold now: it goes again.
    """
    (state,) = connection.execute("SELECT state FROM records WHERE id = ?", (record_id,)).fetchone()
    if state == "dead":
        shift_waiting(connection, books, record_id, dead=-1)
    connection.execute(
        "UPDATE records SET state = iif(state = 'dead', 'dirty', state), reason = iif(state = 'dead', '', reason),"
        " version = ?, attempts = 0, dirty_since_ms = ?, due_at_ms = ?, priority = max(priority, ?) WHERE id = ?",
        (next_revision(connection), now_ms, now_ms, Priority.RETRY, record_id),
    )
    step_aside(connection, record_id)
    _settle(connection, record_id, RETRIED, now_ms)


def try_changed(connection: sqlite3.Connection, books: Books, record_id: int, now_ms: int) -> None:
    """A new message changed a dead record: it is tried again by itself, alone, and each time after a longer wait."""
    shift_waiting(connection, books, record_id, dead=-1)
    (attempts,) = connection.execute("SELECT attempts FROM records WHERE id = ?", (record_id,)).fetchone()
    wait_ms = min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(max(attempts - 1, 0), 10))
    connection.execute(
        "UPDATE records SET state = 'dirty', reason = '', dirty_since_ms = ?, due_at_ms = ?, priority = ? WHERE id = ?",
        (now_ms, now_ms + wait_ms, Priority.RETRY, record_id),
    )


def settle_superseded(connection: sqlite3.Connection, record_id: int, now_ms: int) -> None:
    """The record was delivered after all: its open letter, if it has one, is history."""
    _settle(connection, record_id, SUPERSEDED, now_ms)


def discard(connection: sqlite3.Connection, books: Books, record_id: int, now_ms: int) -> None:
    """Give a dead record up: what waited for it stays counted as dead, and it is not tried again as it is."""
    del books
    connection.execute("UPDATE records SET reason = 'discarded' WHERE id = ? AND state = 'dead'", (record_id,))
    _settle(connection, record_id, DISCARDED, now_ms)


def _settle(connection: sqlite3.Connection, record_id: int, state: str, now_ms: int) -> None:
    connection.execute(
        "UPDATE dead_letters SET state = ?, settled_at_ms = ? WHERE record_id = ? AND state = 'open'",
        (state, now_ms, record_id),
    )


def last_retry_ms(connection: sqlite3.Connection, destination_id: int) -> int:
    """When a dead record of a destination was last given another chance; 0 for never."""
    row = connection.execute(
        "SELECT settled_at_ms FROM dead_letters WHERE destination_id = ? AND state = 'retried'"
        " ORDER BY settled_at_ms DESC LIMIT 1",
        (destination_id,),
    ).fetchone()
    return 0 if row is None else int(row[0])


def select(
    connection: sqlite3.Connection, *, destination_id: int | None = None, state: str | None = OPEN, limit: int = 100
) -> list[dict[str, Any]]:
    """Dead letters, newest first."""
    clauses: list[str] = []
    values: list[object] = []
    if destination_id is not None:
        clauses.append("destination_id = ?")
        values.append(destination_id)
    if state is not None:
        clauses.append("state = ?")
        values.append(state)
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    return rows(connection, f"{where} ORDER BY id DESC LIMIT ?", (*values, limit))


def rows(connection: sqlite3.Connection, clauses: str, values: Sequence[object]) -> list[dict[str, Any]]:
    """Dead letters by the clauses of a query."""
    found = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM dead_letters{clauses}", values)
    return [dict(zip(_COLUMNS, row, strict=True)) for row in found]


def refusals(connection: sqlite3.Connection, record_id: int) -> list[dict[str, Any]]:
    """How a record was refused, oldest first, the last REFUSALS_KEPT times."""
    names = ("at_ms", "code", "message", "request", "answer")
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM refusals WHERE record_id = ? ORDER BY at_ms", (record_id,)
    )
    return [dict(zip(names, row, strict=True)) for row in found]


def get(connection: sqlite3.Connection, letter_id: int) -> dict[str, Any]:
    """One dead letter. Raises UserError when there is none with this id."""
    found = rows(connection, " WHERE id = ?", (letter_id,))
    if not found:
        raise UserError(f"there is no dead letter {letter_id}; `dead-letters list` shows those there are")
    return found[0]


def like(connection: sqlite3.Connection, letter: dict[str, Any]) -> Sequence[int]:
    """Record ids of all open dead letters of the same destination, object and code."""
    rows = connection.execute(
        "SELECT record_id FROM dead_letters WHERE state = 'open' AND destination_id = ? AND object = ? AND code = ?"
        " ORDER BY id",
        (letter["destination_id"], letter["object"], letter["code"]),
    )
    return [record_id for (record_id,) in rows]
