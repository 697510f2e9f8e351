"""Chooses the next batch: which records go together, and whether it is time.

Objects go in the destination's order. Inside an object, records go together that need the same kind of call: those
the other side holds, those it does not, those nobody knows of, and those that were refused together and are being
told apart in smaller batches. A batch goes when it is full or its oldest record has waited long enough; a retry goes
when it is due.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from gainsight_destination.destinations.contract import ObjectSpec, Presence, Record

PRESENCES: Final[tuple[Presence, ...]] = ("uncertain", "absent", "present")


class Batch(NamedTuple):
    """Records of one object for one call."""

    object: ObjectSpec
    presence: Presence
    records: tuple[Record, ...]
    told_apart: bool = False
    """They were refused together with others before."""
    worthwhile: int = 1
    """It goes only because so many are due: a call for fewer that have really changed can wait for more."""


class Plan(NamedTuple):
    """The next batch, or when to look again (None: when something becomes dirty)."""

    batch: Batch | None
    look_again_at_ms: int | None


def plan(
    connection: sqlite3.Connection,
    destination_id: int,
    objects: Sequence[ObjectSpec],
    paused: Collection[str],
    patience_ms: int,
    now_ms: int,
) -> Plan:
    """The next batch of a destination."""
    look_again: list[int] = []
    for spec in objects:
        if spec.name in paused:
            continue
        for presence, batch_limit in _groups(connection, destination_id, spec):
            limit = min(spec.batch_size, batch_limit or spec.batch_size)
            rows = connection.execute(
                "SELECT id, object, key, (SELECT revision FROM reader), presence, remote_id, attempts,"
                " delivered_digest, dirty_since_ms, due_at_ms, state FROM records"
                " WHERE destination_id = ? AND object = ? AND presence = ? AND batch_limit IS ?"
                " AND state IN ('dirty', 'parked') ORDER BY due_at_ms, id LIMIT ?",
                (destination_id, spec.name, presence, batch_limit, limit),
            ).fetchall()
            due = [row for row in rows if row[9] <= now_ms]
            waited_at_ms = _waited_at_ms(due, patience_ms)
            if due and (len(due) >= limit or waited_at_ms <= now_ms):
                records = tuple(Record(*row[:9]) for row in due)
                worthwhile = limit if waited_at_ms > now_ms else 1
                return Plan(Batch(spec, presence, records, batch_limit is not None, worthwhile), None)
            look_again += [waited_at_ms] if due else []
            look_again += [row[9] for row in rows[len(due) : len(due) + 1]]
    return Plan(None, min(look_again, default=None))


def _groups(
    connection: sqlite3.Connection, destination_id: int, spec: ObjectSpec
) -> Iterator[tuple[Presence, int | None]]:
    for presence in PRESENCES:
        yield presence, None
        limits = connection.execute(
            "SELECT DISTINCT batch_limit FROM records WHERE destination_id = ? AND object = ? AND presence = ?"
            " AND batch_limit > 0 AND state IN ('dirty', 'parked') ORDER BY batch_limit",
            (destination_id, spec.name, presence),
        ).fetchall()
        for (batch_limit,) in limits:
            yield presence, batch_limit


def _waited_at_ms(due: Sequence[tuple[object, ...]], patience_ms: int) -> int:
    """When these records go even if they are few: at once if one is retried or parked; else when one has waited."""
    waits = []
    for row in due:
        attempts, dirty_since_ms, due_at_ms, state = row[6], row[8], row[9], row[10]
        assert isinstance(attempts, int)
        assert isinstance(due_at_ms, int)
        assert isinstance(dirty_since_ms, int)
        retried = attempts > 0 or state == "parked" or row[4] == "uncertain"
        waits.append(due_at_ms if retried else max(due_at_ms, dirty_since_ms + patience_ms))
    return min(waits, default=0)
