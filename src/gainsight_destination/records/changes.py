"""Turns placements of messages into dirty records, in bulk, inside one transaction.

The resolver says for each message which records it touches; `RecordChanges` gathers that by record for one destination,
and `flush` writes it: records created or made dirty, touches (who waits for which record), statements, tallies, the
deliveries themselves and their move in the books. What a transaction writes to one tree, it writes in the tree's order.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from operator import attrgetter
from typing import Final

from gainsight_destination.destinations.contract import Contribution, Delivery, Placement
from gainsight_destination.records import counts, dead_letters, deliveries
from gainsight_destination.records.books import FILTERED, Books
from gainsight_destination.records.lanes import line_up
from gainsight_destination.records.priorities import Arrivals, Priority

NEW: Final = "new"

Bounds = Callable[[str, str, int, int, int], tuple[int, int] | None]
"""(object, key, user id, from ms, until ms) -> first and last time of the messages counted there under a user."""


class _Tally:
    """Messages counted under one user: how many, from when to when."""

    __slots__ = ("first_at_ms", "last_at_ms", "messages")

    def __init__(self, at_ms: int) -> None:
        self.messages = 1
        self.first_at_ms = self.last_at_ms = at_ms

    def add(self, at_ms: int) -> None:
        self.messages += 1
        if at_ms < self.first_at_ms:
            self.first_at_ms = at_ms
        elif at_ms > self.last_at_ms:
            self.last_at_ms = at_ms


class _Touched:
    """A record and what one transaction does to it. Its id and state are known once `flush` has looked it up."""

    __slots__ = ("id", "key", "object", "reason", "shared", "state", "tallies")

    def __init__(self, object_name: str, key: str, shared: bool, record_id: int = 0) -> None:
        self.object = object_name
        self.key = key
        self.shared = shared
        self.id = record_id
        self.state = NEW
        self.reason = ""
        self.tallies: dict[int, _Tally] | None = None


_id_of = attrgetter("id")
_object_of = attrgetter("object")


class _Changed:
    """An earlier message that was resolved again: what it touches now or touched before, and where it stood."""

    __slots__ = ("before", "delivery", "records")

    def __init__(self, delivery: Delivery, records: list[_Touched], before: tuple[str, str]) -> None:
        self.delivery = delivery
        self.records = records
        self.before = before


class RecordChanges:
    """What one transaction changes in the records of one destination."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        books: Books,
        *,
        destination_id: int,
        own_objects: Collection[str],
        ordered: bool,
        revision: int,
        now_ms: int,
        bounds: Bounds,
        arrivals: Arrivals,
        lanes_from: int = 0,
    ) -> None:
        self._connection = connection
        self._books = books
        self._destination_id = destination_id
        self._own_objects = own_objects
        self._ordered = ordered
        self._revision = revision
        self._now_ms = now_ms
        self._bounds = bounds
        self._arrivals = arrivals
        self._lanes_from = lanes_from
        self._behind: list[_Touched] = []
        self._shared: dict[str, dict[str, _Touched]] = defaultdict(dict)
        self._own: list[tuple[_Touched, Delivery]] = []
        self._uncounted: dict[tuple[str, str, int], int] = {}
        self._statements: list[tuple[_Touched, Delivery, Contribution]] = []
        self._withdrawn: list[tuple[_Touched, Delivery]] = []
        self._new: list[tuple[Delivery, Sequence[_Touched]]] = []
        self._changed: list[_Changed] = []
        self._dropped: list[tuple[Delivery, list[int]]] = []
        self._moved_before: list[int] = []

    def add(self, delivery: Delivery, placement: Placement) -> None:
        """A message seen for the first time."""
        delivery.state = placement.state
        delivery.reason = placement.reason
        contributions = placement.contributions
        if len(contributions) == 1:
            self._new.append((delivery, (self._contribute(delivery, contributions[0]),)))
        else:
            self._new.append((delivery, [self._contribute(delivery, c) for c in contributions]))

    def replace(self, delivery: Delivery, before: Placement, after: Placement) -> None:
        """An earlier message whose resolution changed: `delivery` is as resolved now."""
        old, new = _by_record(before.contributions), _by_record(after.contributions)
        touched: dict[int, _Touched] = {}
        for key in old.keys() | new.keys():
            if old.get(key) == new.get(key):
                records = [self._touch(delivery, new[key])]
            else:
                records = [self._withdraw(delivery, old[key])] if key in old else []
                records += [self._contribute(delivery, new[key])] if key in new else []
            touched |= {id(record): record for record in records}
        self._changed.append(_Changed(delivery, list(touched.values()), (delivery.state, delivery.reason)))
        delivery.state, delivery.reason = after.state, after.reason

    def drop(self, delivery: Delivery, placement: Placement) -> None:
        """A parked message has waited long enough: it is filtered for the reason it waited."""
        found = [self._find(c.object, c.key) for c in placement.contributions if c.object not in self._own_objects]
        waits_for = [record_id for record_id in (*found, delivery.own_record) if record_id is not None]
        self._dropped.append((delivery, waits_for))

    def _find(self, object_name: str, key: str) -> int | None:
        row = self._connection.execute(
            "SELECT id FROM records WHERE destination_id = ? AND object = ? AND key = ? AND shared = 1",
            (self._destination_id, object_name, key),
        ).fetchone()
        return None if row is None else int(row[0])

    def _touch(self, delivery: Delivery, contribution: Contribution) -> _Touched:
        name, key = contribution.object, contribution.key
        if name in self._own_objects:
            record = _Touched(name, key, False, delivery.own_record or 0)
            self._own.append((record, delivery))
            return record
        shared = self._shared[name]
        try:
            return shared[key]
        except KeyError:
            record = shared[key] = _Touched(name, key, True)
            return record

    def _contribute(self, delivery: Delivery, contribution: Contribution) -> _Touched:
        record = self._touch(delivery, contribution)
        user_id = contribution.tally_user
        if user_id is not None:
            tallies = record.tallies
            if tallies is None:
                record.tallies = {user_id: _Tally(delivery.at_ms)}
            elif user_id in tallies:
                tallies[user_id].add(delivery.at_ms)
            else:
                tallies[user_id] = _Tally(delivery.at_ms)
        if contribution.statement is not None:
            self._statements.append((record, delivery, contribution))
        return record

    def _withdraw(self, delivery: Delivery, contribution: Contribution) -> _Touched:
        record = self._touch(delivery, contribution)
        if contribution.tally_user is not None:
            place = (record.object, record.key, contribution.tally_user)
            self._uncounted[place] = self._uncounted.get(place, 0) + 1
        if contribution.statement is not None:
            self._withdrawn.append((record, delivery))
        return record

    # -- writing

    def flush(self) -> None:
        """Write everything; part of the caller's transaction."""
        for delivery, records in self._dropped:
            self._write_drop(delivery, records)
        if self._new or self._changed:
            self._write_touched()
        self._forget_earlier_touches()

    def touched(self) -> dict[int, tuple[str, str]]:
        """(object, key) of every record that was touched, by id; asked after `flush`."""
        touched = [*self._all_shared(), *(record for record, _ in self._own)]
        return {record.id: (record.object, record.key) for record in touched}

    def _write_touched(self) -> None:
        live = self._touched_live() if self._arrivals.mixed else None
        self._look_up()
        self._create(live)
        revived = self._make_dirty(live)
        self._write_statements()
        touches = self._write_new()
        for changed in self._changed:
            touches += self._rewrite(changed, reread=revived)
        touches.sort()
        self._connection.executemany(
            "INSERT INTO touches (record_id, offset, version) VALUES (?,?,?)"
            " ON CONFLICT DO UPDATE SET version = excluded.version",
            touches,
        )
        self._write_tallies()

    def _touched_live(self) -> set[int]:
        """Which records are touched by more than archives, by `id`."""
        live = {
            id(record)
            for delivery, records in self._new
            if self._arrivals.is_live(delivery.offset)
            for record in records
        }
        return live | {id(record) for changed in self._changed for record in changed.records}

    def _priority(self, record: _Touched, live: Set[int] | None) -> Priority:
        if live is None:
            return self._arrivals.priority
        return Priority.LIVE if id(record) in live else Priority.BACKFILL

    def _look_up(self) -> None:
        """Ids and states of the records that exist."""
        for name, shared in self._shared.items():
            for key, record_id, state, reason, priority in self._connection.execute(
                "SELECT key, id, state, reason, priority FROM records"
                " WHERE destination_id = ? AND object = ? AND shared = 1 AND key IN (SELECT value FROM json_each(?))",
                (self._destination_id, name, json.dumps(sorted(shared))),
            ):
                record = shared[key]
                record.id, record.state, record.reason = record_id, state, reason
                if priority > Priority.RETRY:
                    self._behind.append(record)
        existing = [record for record, _ in self._own if record.id]
        if existing:
            by_id: dict[int, list[_Touched]] = {}
            for record in existing:
                by_id.setdefault(record.id, []).append(record)
            for record_id, state, reason, priority in self._connection.execute(
                "SELECT id, state, reason, priority FROM records WHERE id IN (SELECT value FROM json_each(?))",
                (json.dumps(sorted(by_id)),),
            ):
                for record in by_id[record_id]:
                    record.state, record.reason = state, reason
                    if priority > Priority.RETRY:
                        self._behind.append(record)

    def _create(self, live: Set[int] | None) -> None:
        """Give the others an id and write them: shared ones by key, then each message's own."""
        created = [
            shared[key] for shared in self._shared.values() for key in sorted(k for k, r in shared.items() if not r.id)
        ]
        lanes: dict[int, int] = {}
        usual = self._arrivals.priority
        (highest,) = self._connection.execute("SELECT max(id) FROM records").fetchone()
        next_id = (highest or 0) + 1
        for record in created:
            record.id = next_id
            next_id += 1
        for record, delivery in self._own:
            if not record.id:
                if delivery.own_record is None:
                    delivery.own_record = next_id
                    next_id += 1
                    created.append(record)
                    lanes[delivery.own_record] = self._lanes_from + delivery.identity_id
                record.id = delivery.own_record
        self._connection.executemany(
            "INSERT INTO records (id, destination_id, object, key, shared, state, presence, version, dirty_since_ms,"
            " due_at_ms, priority) VALUES (?,?,?,?,?, 'dirty', 'absent', ?,?,?,?)",
            [
                (
                    record.id,
                    self._destination_id,
                    record.object,
                    record.key,
                    record.shared,
                    self._revision,
                    self._now_ms,
                    self._now_ms,
                    usual if live is None else self._priority(record, live),
                )
                for record in created
            ],
        )
        if live is None:
            names = Counter(map(_object_of, created))
            kinds = {(object_name, usual): records for object_name, records in names.items()}
        else:
            kinds = Counter((record.object, self._priority(record, live)) for record in created)
        counts.created(self._connection, self._destination_id, kinds)
        if self._ordered:
            line_up(self._connection, self._destination_id, lanes)

    def _make_dirty(self, live: Set[int] | None) -> bool:
        """Make clean and dead records dirty; those that are dirty or parked already go sooner if they have to.

        Whether a dead one was revived, which moves the messages that wait for it.
        """
        usual = self._arrivals.priority
        touched = [*self._all_shared(), *(record for record, _ in self._own)]
        self._connection.executemany(
            "UPDATE records SET state = 'dirty', version = ?, dirty_since_ms = ?, due_at_ms = ?, priority = ?"
            " WHERE id = ?",
            [
                (
                    self._revision,
                    self._now_ms,
                    self._now_ms,
                    usual if live is None else self._priority(record, live),
                    record.id,
                )
                for record in sorted((r for r in touched if r.state == "clean"), key=_id_of)
            ],
        )
        self._connection.executemany(  # what moves away from a record leaves no touch that would tell
            "UPDATE records SET version = ? WHERE id = ?",
            sorted({(self._revision, record.id) for changed in self._changed for record in changed.records}),
        )
        self._connection.executemany(
            "UPDATE records SET priority = min(priority, iif(attempts > 0, 1, 0)) WHERE id = ?",
            [
                (record.id,)
                for record in self._behind
                if record.state != "clean" and self._priority(record, live) == Priority.LIVE
            ],
        )
        dead = {record.id for record in touched if record.state == "dead"}
        for record_id in sorted(dead):
            dead_letters.try_changed(self._connection, self._books, record_id, self._now_ms)
        return bool(dead)

    def _all_shared(self) -> Iterator[_Touched]:
        return (record for shared in self._shared.values() for record in shared.values())

    def _write_statements(self) -> None:
        self._connection.executemany(
            "DELETE FROM statements WHERE record_id = ? AND at_ms = ? AND message_id = ? AND offset = ?",
            [(record.id, d.at_ms, d.message_id, d.offset) for record, d in self._withdrawn],
        )
        rows = []
        for record, d, contribution in self._statements:
            said = contribution.statement
            assert said is not None
            rows.append(
                (record.id, d.at_ms, d.message_id, d.offset, said.account_id, said.says_member, said.has_traits)
            )
        rows.sort()
        self._connection.executemany(
            "INSERT OR REPLACE INTO statements"
            " (record_id, at_ms, message_id, offset, account_id, says_member, has_traits) VALUES (?,?,?,?,?,?,?)",
            rows,
        )

    def _write_new(self) -> list[tuple[int, int, int]]:
        touches: list[tuple[int, int, int]] = []
        counted: dict[tuple[int, str, str], int] = {}
        for delivery, records in self._new:
            if records:
                delivery.open_records = len(records)
                for record in records:
                    touches.append((record.id, delivery.offset, self._revision))
                    if record.state == "parked":
                        delivery.parked_records += 1
                delivery.state, delivery.reason = (
                    deliveries.state_of_records(delivery, _parked_because(records))
                    if delivery.parked_records
                    else _PENDING
                )
            stands = (delivery.source_id, delivery.state, delivery.reason)
            counted[stands] = counted.get(stands, 0) + 1
        for (source_id, state, reason), messages in counted.items():
            self._books.enter(self._destination_id, source_id, state, reason, messages)
        deliveries.insert(self._connection, self._destination_id, [delivery for delivery, _ in self._new])
        return touches

    def _rewrite(self, changed: _Changed, *, reread: bool) -> list[tuple[int, int, int]]:
        """Write an earlier message as it stands now; the records it waits for."""
        delivery, before = changed.delivery, changed.before
        if reread:
            now = deliveries.get(self._connection, self._destination_id, delivery.offset)
            assert now is not None
            before = (now.state, now.reason)
            delivery.open_records, delivery.parked_records = now.open_records, now.parked_records
            delivery.dead_records = now.dead_records
        record_ids = sorted({record.id for record in changed.records})
        touches: list[tuple[int, int, int]] = []
        if delivery.state:  # filtered or parked: it waits for no record any more
            self._wait_for_none(delivery, record_ids)
            delivery.open_records = delivery.parked_records = delivery.dead_records = 0
        else:
            self._wait_for(delivery, before, changed.records)
            touches = [(record_id, delivery.offset, self._revision) for record_id in record_ids]
        self._books.move(self._destination_id, delivery.source_id, before, (delivery.state, delivery.reason))
        deliveries.update(self._connection, self._destination_id, delivery)
        return touches

    def _wait_for(self, delivery: Delivery, before: tuple[str, str], records: Sequence[_Touched]) -> None:
        fresh = {record.id: record for record in records}
        if delivery.open_records:
            for (record_id,) in self._connection.execute(
                "SELECT record_id FROM touches WHERE offset = ? AND record_id IN (SELECT value FROM json_each(?))",
                (delivery.offset, json.dumps(list(fresh))),
            ):
                del fresh[record_id]
        because = before[1] if before[0] == "parked" and delivery.parked_records else _parked_because(fresh.values())
        delivery.open_records += len(fresh)
        delivery.parked_records += sum(record.state == "parked" for record in fresh.values())
        delivery.state, delivery.reason = deliveries.state_of_records(delivery, because)

    def _wait_for_none(self, delivery: Delivery, record_ids: Sequence[int]) -> None:
        """Forget what a message waits for: these records, and perhaps others that it was moved away from before."""
        found = self._connection.executemany(
            "DELETE FROM touches WHERE record_id = ? AND offset = ?",
            [(record_id, delivery.offset) for record_id in record_ids],
        ).rowcount
        if max(found, 0) < delivery.open_records:
            self._moved_before.append(delivery.offset)

    def _forget_earlier_touches(self) -> None:
        """Of messages that wait for nothing any more, wherever they were moved to: one scan for all of them."""
        if self._moved_before:
            self._connection.execute(
                "DELETE FROM touches WHERE offset IN (SELECT value FROM json_each(?))"
                " AND (SELECT destination_id FROM records WHERE id = record_id) = ?",
                (json.dumps(self._moved_before), self._destination_id),
            )

    def _write_drop(self, delivery: Delivery, records: list[int]) -> None:
        self._wait_for_none(delivery, records)
        self._books.move(
            self._destination_id, delivery.source_id, (delivery.state, delivery.reason), (FILTERED, delivery.reason)
        )
        delivery.state = FILTERED
        delivery.open_records = delivery.parked_records = delivery.dead_records = 0
        deliveries.update(self._connection, self._destination_id, delivery)

    def _write_tallies(self) -> None:
        rows = [
            (record.id, user_id, tally.messages, tally.first_at_ms, tally.last_at_ms)
            for record in self._all_shared()
            if record.tallies is not None
            for user_id, tally in record.tallies.items()
        ]
        rows.sort()
        self._connection.executemany(
            "INSERT INTO tallies (record_id, user_id, count, first_at_ms, last_at_ms) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET"
            " first_at_ms = iif(count = 0, excluded.first_at_ms, min(first_at_ms, excluded.first_at_ms)),"
            " last_at_ms = iif(count = 0, excluded.last_at_ms, max(last_at_ms, excluded.last_at_ms)),"
            " count = count + excluded.count",
            rows,
        )
        for (name, key, user_id), count in self._uncounted.items():
            self._take_out(self._shared[name][key], user_id, count)

    def _take_out(self, record: _Touched, user_id: int, count: int) -> None:
        tally = self._connection.execute(
            "SELECT first_at_ms, last_at_ms, frozen_first_at_ms, frozen_last_at_ms FROM tallies"
            " WHERE record_id = ? AND user_id = ?",
            (record.id, user_id),
        ).fetchone()
        if tally is None:  # counted under settings that held then: there is nothing to take out here
            return
        first_ms, last_ms, frozen_first_ms, frozen_last_ms = tally
        remaining = self._bounds(record.object, record.key, user_id, first_ms, last_ms + 1)
        times = [t for t in (*(remaining or ()), frozen_first_ms, frozen_last_ms) if t is not None]
        self._connection.execute(
            "UPDATE tallies SET count = count - ?, first_at_ms = ?, last_at_ms = ? WHERE record_id = ? AND user_id = ?",
            (count, min(times, default=0), max(times, default=0), record.id, user_id),
        )


_PENDING: Final = ("pending", "")


def _parked_because(records: Iterable[_Touched]) -> str:
    return next((record.reason for record in records if record.state == "parked"), "")


def _by_record(contributions: Iterable[Contribution]) -> dict[tuple[str, str], Contribution]:
    return {(c.object, c.key): c for c in contributions}
