"""Turns placements of messages into dirty records, in bulk, inside one transaction.

The resolver says for each message which records it touches; `RecordChanges` gathers that for one destination and
`flush` writes it: records created or made dirty, touches (who waits for which record), statements, tallies, the
deliveries themselves and their move in the books.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from gainsight_destination.destinations.contract import Contribution, Delivery, Placement
from gainsight_destination.records import dead_letters, deliveries
from gainsight_destination.records.books import FILTERED, Books

RecordKey = tuple[int, str, str]


class RecordIds:
    """Remembers which record has which id; belongs to the one writer."""

    CACHED: Final = 500_000

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[RecordKey, int] = {}
        self._next_id = 0

    def begin(self) -> None:
        """Called at the start of each transaction."""
        (highest,) = self._connection.execute("SELECT max(id) FROM records").fetchone()
        self._next_id = (highest or 0) + 1
        if len(self._ids) > self.CACHED:
            self._ids.clear()

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back."""
        self._ids.clear()

    def find(self, key: RecordKey) -> int | None:
        record_id = self._ids.get(key)
        if record_id is None:
            row = self._connection.execute(
                "SELECT id FROM records WHERE destination_id = ? AND object = ? AND key = ?", key
            ).fetchone()
            if row is None:
                return None
            record_id = self._ids[key] = int(row[0])
        return record_id

    def create(self, key: RecordKey) -> int:
        record_id = self._ids[key] = self._next_id
        self._next_id += 1
        return record_id


class _Tally(NamedTuple):
    messages: int
    first_at_ms: int
    last_at_ms: int


Bounds = Callable[[int, int, int, int], tuple[int, int] | None]
"""(record id, user id, from ms, until ms) -> first and last time of the messages counted there."""


class RecordChanges:
    """What one transaction changes in the records of one destination."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        ids: RecordIds,
        books: Books,
        *,
        destination_id: int,
        revision: int,
        now_ms: int,
        bounds: Bounds,
    ) -> None:
        self._connection = connection
        self._ids = ids
        self._books = books
        self._destination_id = destination_id
        self._revision = revision
        self._now_ms = now_ms
        self._bounds = bounds
        self._created: set[int] = set()
        self._new_records: list[tuple[int, int, str, str, int, int, int]] = []
        self._touched: set[int] = set()
        self._touches: list[tuple[int, int, int]] = []
        self._counted: dict[tuple[int, int], _Tally] = {}
        self._uncounted: dict[tuple[int, int], int] = {}
        self._statements: list[tuple[int, int, str, int, int | None, int | None, bool]] = []
        self._withdrawn: list[tuple[int, int, str, int]] = []
        self._new: list[tuple[Delivery, list[int]]] = []
        self._changed: list[tuple[Delivery, list[int]]] = []
        self._dropped: list[tuple[Delivery, list[int]]] = []

    def add(self, delivery: Delivery, placement: Placement) -> None:
        """A message seen for the first time."""
        delivery.state, delivery.reason = placement.state, placement.reason
        self._new.append((delivery, [self._contribute(delivery, c) for c in placement.contributions]))

    def replace(self, delivery: Delivery, before: Placement, after: Placement) -> None:
        """An earlier message whose resolution changed: `delivery` is as resolved now."""
        old, new = _by_record(before.contributions), _by_record(after.contributions)
        touched: set[int] = set()
        for key in old.keys() | new.keys():
            if old.get(key) == new.get(key):
                touched.add(self._record_id(new[key]))
                continue
            if key in old:
                touched.add(self._withdraw(delivery, old[key]))
            if key in new:
                touched.add(self._contribute(delivery, new[key]))
        delivery.state, delivery.reason = after.state, after.reason
        self._changed.append((delivery, sorted(touched)))

    def drop(self, delivery: Delivery, placement: Placement) -> None:
        """A parked message has waited long enough: it is filtered for the reason it waited."""
        records = [self._ids.find((self._destination_id, c.object, c.key)) for c in placement.contributions]
        self._dropped.append((delivery, [record_id for record_id in records if record_id is not None]))

    def _record_id(self, contribution: Contribution) -> int:
        key = (self._destination_id, contribution.object, contribution.key)
        record_id = self._ids.find(key)
        if record_id is None:
            record_id = self._ids.create(key)
            self._created.add(record_id)
            self._new_records.append((record_id, *key, self._revision, self._now_ms, self._now_ms))
        self._touched.add(record_id)
        return record_id

    def _contribute(self, delivery: Delivery, contribution: Contribution) -> int:
        record_id = self._record_id(contribution)
        if contribution.tally_user is not None:
            place, at_ms = (record_id, contribution.tally_user), delivery.at_ms
            tally = self._counted.get(place)
            self._counted[place] = (
                _Tally(1, at_ms, at_ms)
                if tally is None
                else _Tally(tally.messages + 1, min(tally.first_at_ms, at_ms), max(tally.last_at_ms, at_ms))
            )
        if contribution.statement is not None:
            self._statements.append(
                (record_id, delivery.at_ms, delivery.message_id, delivery.offset, *contribution.statement)
            )
        return record_id

    def _withdraw(self, delivery: Delivery, contribution: Contribution) -> int:
        record_id = self._record_id(contribution)
        if contribution.tally_user is not None:
            place = (record_id, contribution.tally_user)
            self._uncounted[place] = self._uncounted.get(place, 0) + 1
        if contribution.statement is not None:
            self._withdrawn.append((record_id, delivery.at_ms, delivery.message_id, delivery.offset))
        return record_id

    # -- writing

    def flush(self) -> None:
        """Write everything; part of the caller's transaction."""
        for delivery, records in self._dropped:
            self._write_drop(delivery, records)
        if not self._new and not self._changed:
            return
        self._write_records()
        parked = self._settle_existing()
        self._write_statements()
        self._write_deliveries(parked)
        self._connection.executemany(
            "INSERT INTO touches (record_id, offset, version) VALUES (?,?,?)"
            " ON CONFLICT DO UPDATE SET version = excluded.version",
            sorted(self._touches),
        )
        self._write_tallies()

    def _write_records(self) -> None:
        self._connection.executemany(
            "INSERT INTO records (id, destination_id, object, key, version, dirty_since_ms, due_at_ms, state, presence)"
            " VALUES (?,?,?,?,?,?,?, 'dirty', 'absent')",
            self._new_records,
        )

    def _settle_existing(self) -> dict[int, str]:
        """Make the touched records dirty; those that stay parked come back, with the reason."""
        existing = sorted(self._touched - self._created)
        unusual = self._connection.execute(
            "SELECT id, state, reason FROM records"
            " WHERE id IN (SELECT value FROM json_each(?)) AND state IN ('dead', 'parked')",
            (json.dumps(existing),),
        ).fetchall()
        for record_id, state, _ in unusual:
            if state == "dead":
                dead_letters.try_changed(self._connection, self._books, record_id, self._now_ms)
        self._connection.executemany(
            "UPDATE records SET version = ?,"
            " dirty_since_ms = CASE state WHEN 'clean' THEN ? ELSE dirty_since_ms END,"
            " due_at_ms = CASE state WHEN 'clean' THEN ? ELSE due_at_ms END,"
            " state = CASE state WHEN 'clean' THEN 'dirty' ELSE state END WHERE id = ?",
            [(self._revision, self._now_ms, self._now_ms, record_id) for record_id in existing],
        )
        return {record_id: reason for record_id, state, reason in unusual if state == "parked"}

    def _write_statements(self) -> None:
        self._connection.executemany(
            "DELETE FROM statements WHERE record_id = ? AND at_ms = ? AND message_id = ? AND offset = ?",
            self._withdrawn,
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO statements"
            " (record_id, at_ms, message_id, offset, account_id, says_member, has_traits) VALUES (?,?,?,?,?,?,?)",
            self._statements,
        )

    def _write_deliveries(self, parked: dict[int, str]) -> None:
        for delivery, records in self._new:
            delivery.open_records = len(records)
            delivery.parked_records = sum(record_id in parked for record_id in records)
            if records:
                delivery.state, delivery.reason = deliveries.state_of_records(delivery, _reason(records, parked))
            self._touches.extend((record_id, delivery.offset, self._revision) for record_id in records)
            self._books.enter(self._destination_id, delivery.source_id, delivery.state, delivery.reason)
        deliveries.insert(self._connection, self._destination_id, (delivery for delivery, _ in self._new))
        for delivery, records in self._changed:
            self._rewrite(delivery, records, parked)

    def _rewrite(self, delivery: Delivery, records: list[int], parked: dict[int, str]) -> None:
        now = deliveries.get(self._connection, self._destination_id, delivery.offset)
        assert now is not None
        if delivery.state:  # filtered or parked: it waits for no record any more
            self._connection.executemany(
                "DELETE FROM touches WHERE record_id = ? AND offset = ?",
                [(record_id, delivery.offset) for record_id in records],
            )
            delivery.open_records = delivery.parked_records = delivery.dead_records = 0
        else:
            self._wait_for(delivery, now, records, parked)
        self._books.move(
            self._destination_id,
            delivery.source_id,
            (now.state, now.reason),
            (delivery.state, delivery.reason),
        )
        deliveries.update(self._connection, self._destination_id, delivery)

    def _wait_for(self, delivery: Delivery, now: Delivery, records: list[int], parked: dict[int, str]) -> None:
        waiting = {
            record_id
            for (record_id,) in self._connection.execute(
                "SELECT record_id FROM touches WHERE offset = ? AND record_id IN (SELECT value FROM json_each(?))",
                (delivery.offset, json.dumps(records)),
            )
        }
        fresh = [record_id for record_id in records if record_id not in waiting]
        delivery.open_records = now.open_records + len(fresh)
        delivery.parked_records = now.parked_records + sum(record_id in parked for record_id in fresh)
        delivery.dead_records = now.dead_records
        because = now.reason if now.state == "parked" and now.parked_records else _reason(fresh, parked)
        delivery.state, delivery.reason = deliveries.state_of_records(delivery, because)
        self._touches.extend((record_id, delivery.offset, self._revision) for record_id in records)

    def _write_drop(self, delivery: Delivery, records: list[int]) -> None:
        self._connection.executemany(
            "DELETE FROM touches WHERE record_id = ? AND offset = ?",
            [(record_id, delivery.offset) for record_id in records],
        )
        self._books.move(
            self._destination_id, delivery.source_id, (delivery.state, delivery.reason), (FILTERED, delivery.reason)
        )
        delivery.state = FILTERED
        delivery.open_records = delivery.parked_records = delivery.dead_records = 0
        deliveries.update(self._connection, self._destination_id, delivery)

    def _write_tallies(self) -> None:
        self._connection.executemany(
            "INSERT INTO tallies (record_id, user_id, count, first_at_ms, last_at_ms) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET"
            " first_at_ms = iif(count = 0, excluded.first_at_ms, min(first_at_ms, excluded.first_at_ms)),"
            " last_at_ms = iif(count = 0, excluded.last_at_ms, max(last_at_ms, excluded.last_at_ms)),"
            " count = count + excluded.count",
            [(*place, *self._counted[place]) for place in sorted(self._counted)],
        )
        for (record_id, user_id), count in self._uncounted.items():
            self._take_out(record_id, user_id, count)

    def _take_out(self, record_id: int, user_id: int, count: int) -> None:
        tally = self._connection.execute(
            "SELECT first_at_ms, last_at_ms, frozen_first_at_ms, frozen_last_at_ms FROM tallies"
            " WHERE record_id = ? AND user_id = ?",
            (record_id, user_id),
        ).fetchone()
        if tally is None:  # counted under settings that held then: there is nothing to take out here
            return
        first_ms, last_ms, frozen_first_ms, frozen_last_ms = tally
        remaining = self._bounds(record_id, user_id, first_ms, last_ms + 1)
        times = [t for t in (*(remaining or ()), frozen_first_ms, frozen_last_ms) if t is not None]
        self._connection.execute(
            "UPDATE tallies SET count = count - ?, first_at_ms = ?, last_at_ms = ? WHERE record_id = ? AND user_id = ?",
            (count, min(times, default=0), max(times, default=0), record_id, user_id),
        )


def _reason(records: list[int], parked: dict[int, str]) -> str:
    return next((parked[record_id] for record_id in records if record_id in parked), "")


def _by_record(contributions: Iterable[Contribution]) -> dict[tuple[str, str], Contribution]:
    return {(c.object, c.key): c for c in contributions}
