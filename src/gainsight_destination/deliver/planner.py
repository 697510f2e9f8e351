"""Chooses the next batch: which records go together, and whether it is time.

More urgent records go first (records/priorities.py), but every fifth batch begins with the others, each of them in
turn, so that none waits for ever. A batch that goes and is not full takes along what else has not failed: the call is
made anyway. Among records of one priority, objects go in the destination's order.

Inside an object, records go together that need the same kind of call: those the other side holds, those it does not,
those nobody knows of, and those that were refused together and are being told apart in smaller batches. A batch goes
when it is full or its oldest record has waited long enough; a retry goes when it is due.
"""

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import product
from operator import itemgetter
from typing import Any, Final, NamedTuple

from gainsight_destination.destinations.contract import ObjectSpec, Presence, Record
from gainsight_destination.records.priorities import Priority

SEPARATE: Final[tuple[tuple[Presence, ...], ...]] = (("uncertain",), ("absent",), ("present",))
UPSERTED: Final[tuple[tuple[Presence, ...], ...]] = (("uncertain",), ("absent", "present"))
"""Which records go together: a call that inserts what is not there and updates what is takes both."""


TURNS: Final = 5
"""One of so many batches begins with records that are less urgent than others."""


class Batch(NamedTuple):
    """Records of one object for one call. `presence` of an upserted object's batch may also be `present`."""

    object: ObjectSpec
    presence: Presence
    records: tuple[Record, ...]
    priority: Priority
    upload: bool = False
    """As one file, as far as they fit."""
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
    turn: int = 0,
    uploads: Collection[str] = (),
) -> Plan:
    """The next batch of a destination; `turn` counts those before it, `uploads` are objects that may go as a file."""
    look_again: list[int] = []
    wanted = [spec for spec in objects if spec.name not in paused]
    for priority, spec in product(priorities_of(turn), wanted):
        others = [other for other in Priority if other != priority]
        if spec.name in uploads and (file := _file(connection, destination_id, spec, priority, now_ms)):
            return Plan(file, None)
        for presences, batch_limit in _groups(connection, destination_id, spec, priority):
            limit = min(spec.batch_size, batch_limit or spec.batch_size)
            select = partial(_select, connection, destination_id, spec, presences, batch_limit)
            rows = select(priority, limit)
            due = [row for row in rows if row[9] <= now_ms]
            waited_at_ms = _waited_at_ms(due, patience_ms)
            if due and (len(due) >= limit or waited_at_ms <= now_ms):
                for other in others if batch_limit is None and not any(map(_failed, due)) else ():
                    more = select(other, limit - len(due))
                    due += [row for row in more if row[9] <= now_ms and not _failed(row)]
                records = tuple(Record(*row[:9]) for row in due)
                worthwhile = limit if waited_at_ms > now_ms else 1
                return Plan(Batch(spec, presences[0], records, priority, worthwhile=worthwhile), None)
            look_again += [waited_at_ms] if due else []
            look_again += [row[9] for row in rows[len(due) : len(due) + 1]]
    return Plan(None, min(look_again, default=None))


def priorities_of(turn: int) -> tuple[Priority, ...]:
    """In which order priorities have their turn: every fifth begins with another one of those that wait."""
    live, *others = Priority
    round_, place = divmod(turn, TURNS)
    if place < TURNS - 1:
        return (live, *others)
    first = round_ % len(others)
    return (*others[first:], *others[:first], live)


def _file(
    connection: sqlite3.Connection, destination_id: int, spec: ObjectSpec, priority: Priority, now_ms: int
) -> Batch | None:
    """The records of a file, if so many of this priority are due that it pays; others come along as in any batch."""
    presences = UPSERTED[-1]
    due = 0
    for presence in presences:
        (found,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM records WHERE destination_id = ? AND object = ? AND priority = ?"
            " AND presence = ? AND batch_limit IS NULL AND state IN ('dirty', 'parked') AND due_at_ms <= ? LIMIT ?)",
            (destination_id, spec.name, priority, presence, now_ms, spec.upload_from),
        ).fetchone()
        due += found
    if spec.upload_from is None or due < spec.upload_from:
        return None
    rows: list[tuple[Any, ...]] = []
    for taken in (priority, *(other for other in Priority if other > priority)):
        first = _select(connection, destination_id, spec, presences, None, taken, spec.upload_records - len(rows))
        rows += [row for row in first if row[9] <= now_ms and (taken == priority or not _failed(row))]
    return Batch(spec, presences[-1], tuple(Record(*row[:9]) for row in rows), priority, upload=True)


def _select(
    connection: sqlite3.Connection,
    destination_id: int,
    spec: ObjectSpec,
    presences: Sequence[Presence],
    batch_limit: int | None,
    priority: Priority,
    limit: int,
) -> list[tuple[Any, ...]]:
    """The first rows of a group, due or not."""
    rows = [
        row
        for presence in presences
        for row in connection.execute(_SELECT, (destination_id, spec.name, priority, presence, batch_limit, limit))
    ]
    return sorted(rows, key=_due_at)[:limit]


_SELECT: Final = (
    "SELECT id, object, key, (SELECT revision FROM reader), presence, remote_id, attempts, delivered_digest,"
    " dirty_since_ms, due_at_ms, state FROM records"
    " WHERE destination_id = ? AND object = ? AND priority = ? AND presence = ? AND batch_limit IS ?"
    " AND state IN ('dirty', 'parked') ORDER BY due_at_ms, id LIMIT ?"
)
_due_at = itemgetter(9, 0)
_failed = itemgetter(6)
"""Attempts that failed: such a record goes only with its like, for what is wrong with it is no business of others."""


def _groups(
    connection: sqlite3.Connection, destination_id: int, spec: ObjectSpec, priority: Priority
) -> Iterator[tuple[tuple[Presence, ...], int | None]]:
    for presences in UPSERTED if spec.upserted else SEPARATE:
        yield presences, None
        limits = connection.execute(
            "SELECT DISTINCT batch_limit FROM records WHERE destination_id = ? AND object = ? AND priority = ?"
            f" AND presence IN ({','.join('?' * len(presences))})"
            " AND batch_limit > 0 AND state IN ('dirty', 'parked') ORDER BY batch_limit",
            (destination_id, spec.name, priority, *presences),
        ).fetchall()
        for (batch_limit,) in limits:
            yield presences, batch_limit


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
