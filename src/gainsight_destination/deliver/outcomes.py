"""Writes what became of a batch: record states, who waited for them, and the books, in one transaction.

    clean --(a message)--> dirty --(delivered)--> clean
    dirty --(rejected)--> dead --(retried, or a new message)--> dirty
    dirty --(parked)--> parked --(delivered)--> clean
    queued --(the one before it in its lane is clean or dead)--> dirty

An outcome belongs to a record's version: what came while the call was under way keeps the record dirty.
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import NamedTuple

from gainsight_destination.deliver import references
from gainsight_destination.destinations.contract import (
    Deferred,
    Delivered,
    Outcome,
    Parked,
    Reference,
    Rejected,
    Submitted,
    Unneeded,
)
from gainsight_destination.records import dead_letters, replays
from gainsight_destination.records.books import Books
from gainsight_destination.records.deliveries import shift_waiting
from gainsight_destination.records.held_rows import count_change, count_present
from gainsight_destination.records.lanes import go_on
from gainsight_destination.records.priorities import Priority

LONGEST_JOB_MS = 45 * 60_000
"""Gainsight documents up to 30 minutes for an asynchronous people request."""


class Sent(NamedTuple):
    """A record as it was when its batch was made; `version` is the store's revision at that moment."""

    record_id: int
    object: str
    name: str
    version: int


def apply(
    connection: sqlite3.Connection,
    destination_id: int,
    sent: Mapping[int, Sent],
    outcomes: Mapping[int, Outcome],
    now_ms: int,
    referenced: Collection[str] = (),
) -> None:
    """Write the outcomes of a batch, by record id; part of the caller's transaction.

    `referenced` are the objects that other records point at.
    """
    books = Books(now_ms)
    held = count_present(connection, outcomes)
    replayed = replays.waiting(connection, outcomes)
    ended: list[int] = []
    reached: dict[Reference, str | None] = {}
    for record_id, outcome in sorted(outcomes.items()):
        record = sent[record_id]
        if isinstance(outcome, Delivered):
            _delivered(connection, books, record, outcome, now_ms)
            ended.append(record_id)
            references.set_missing(connection, destination_id, record_id, outcome.missing, now_ms)
            if record.object in referenced:
                reached[Reference(record.object, record.name)] = outcome.remote_id or ""
        elif isinstance(outcome, Unneeded):
            _close(connection, books, record, now_ms)
        elif isinstance(outcome, Rejected):
            _rejected(connection, books, record, outcome, now_ms)
            ended.append(record_id)
        elif isinstance(outcome, Parked):
            _parked(connection, books, record_id, outcome, now_ms)
        elif isinstance(outcome, Submitted):
            connection.execute("UPDATE records SET due_at_ms = ? WHERE id = ?", (now_ms + LONGEST_JOB_MS, record_id))
        else:
            defer(connection, record_id, outcome, now_ms)
    count_change(connection, destination_id, held, count_present(connection, outcomes))
    replays.settle(
        connection, {record_id: _came_of(outcomes[record_id], before) for record_id, before in replayed.items()}
    )
    go_on(connection, destination_id, ended)
    references.learn(connection, destination_id, reached, now_ms)
    books.flush(connection)


def _came_of(outcome: Outcome, delivered_before: bytes | None) -> str:
    """What a replay counts: "" while its record still waits."""
    if isinstance(outcome, Rejected):
        return replays.DEAD
    if isinstance(outcome, Delivered):
        return replays.UNCHANGED if outcome.digest == delivered_before else replays.DELIVERED
    return replays.UNCHANGED if isinstance(outcome, Unneeded) else ""


def _delivered(connection: sqlite3.Connection, books: Books, record: Sent, outcome: Delivered, now_ms: int) -> None:
    connection.execute(
        "UPDATE records SET presence = 'present', remote_id = coalesce(?, remote_id), delivered_digest = ?"
        " WHERE id = ?",
        (outcome.remote_id, outcome.digest, record.record_id),
    )
    _close(connection, books, record, now_ms)


def _close(connection: sqlite3.Connection, books: Books, record: Sent, now_ms: int) -> None:
    """The record is clean, unless something came meanwhile; who waited for this version waits no longer."""
    _unpark(connection, books, record.record_id)
    connection.execute(
        "UPDATE records SET state = ?1, reason = '', attempts = 0, batch_limit = NULL, dirty_since_ms = ?2,"
        " due_at_ms = ?2, priority = iif(priority = ?4, ?5, priority) WHERE id = ?3",
        (
            "dirty" if _changed_since(connection, record) else "clean",
            now_ms,
            record.record_id,
            Priority.RETRY,
            Priority.LIVE,
        ),
    )
    shift_waiting(connection, books, record.record_id, up_to_version=record.version, opened=-1)
    connection.execute("DELETE FROM touches WHERE record_id = ? AND version <= ?", (record.record_id, record.version))
    dead_letters.settle_superseded(connection, record.record_id, now_ms)


def _changed_since(connection: sqlite3.Connection, record: Sent) -> bool:
    """Whether anything came for the record after its batch was made."""
    (changed,) = connection.execute(
        "SELECT version > ?1 OR EXISTS (SELECT 1 FROM touches WHERE record_id = ?2 AND version > ?1)"
        " FROM records WHERE id = ?2",
        (record.version, record.record_id),
    ).fetchone()
    return bool(changed)


def _rejected(connection: sqlite3.Connection, books: Books, record: Sent, outcome: Rejected, now_ms: int) -> None:
    """Bury what was refused, unless the record has changed since: the change may be what mends it."""
    if _changed_since(connection, record):
        defer(connection, record.record_id, Deferred(0, "changed since it was refused", batch_limit=1), now_ms)
        return
    _unpark(connection, books, record.record_id)
    dead_letters.bury(connection, books, record.record_id, record.name, outcome, now_ms)


def _unpark(connection: sqlite3.Connection, books: Books, record_id: int) -> None:
    parked = connection.execute(
        "UPDATE records SET state = 'dirty' WHERE id = ? AND state = 'parked' RETURNING id", (record_id,)
    ).fetchone()
    if parked is not None:
        shift_waiting(connection, books, record_id, parked=-1)


def _parked(connection: sqlite3.Connection, books: Books, record_id: int, outcome: Parked, now_ms: int) -> None:
    newly = connection.execute(
        "UPDATE records SET state = 'parked', reason = ? WHERE id = ? AND state <> 'parked' RETURNING id",
        (outcome.reason, record_id),
    ).fetchone()
    if newly is not None:
        shift_waiting(connection, books, record_id, parked=1)
    connection.execute(
        "UPDATE records SET due_at_ms = ?, priority = max(priority, ?) WHERE id = ?",
        (now_ms + round(outcome.recheck_seconds * 1000), Priority.RETRY, record_id),
    )


def defer(connection: sqlite3.Connection, record_id: int, outcome: Deferred, now_ms: int) -> None:
    """Try a record again later."""
    assert outcome.seconds is not None
    connection.execute(
        "UPDATE records SET due_at_ms = ?, reason = ?, attempts = attempts + ?, presence = coalesce(?, presence),"
        " batch_limit = coalesce(?, batch_limit), priority = max(priority, ?) WHERE id = ?",
        (
            now_ms + round(outcome.seconds * 1000),
            outcome.reason,
            outcome.failed,
            outcome.presence,
            outcome.batch_limit,
            Priority.RETRY if outcome.failed or outcome.batch_limit is not None else Priority.LIVE,
            record_id,
        ),
    )
