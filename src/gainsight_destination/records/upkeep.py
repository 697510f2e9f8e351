"""Lets go of what no longer can matter, so that disk and memory stay bounded.

A settled message is forgotten once no late fact can move it and no repeat of it would be dropped; what it added to
tallies stays in them. A message still on its way is kept however old it is: when retention takes its part of the log,
the message itself is kept in the store.
"""

import sqlite3
from typing import Final

from gainsight_destination.destinations.contract import Delivery, Placement, RecordDestination
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.eventlog.receipt import first_received_since
from gainsight_destination.events.message import decode_body, messages_of
from gainsight_destination.events.original import original_of
from gainsight_destination.records import corrections, deliveries
from gainsight_destination.records.books import FILTERED
from gainsight_destination.records.deliveries import OFFSETS
from gainsight_destination.records.past_rules import PastRules, forgotten_as_filtered

CHUNK: Final = 2_000
STATEMENTS_KEPT: Final = 20
OPEN_STATES: Final = ("parked", "pending", "dead")

_ORIGINALS_WANTED: Final = (
    "SELECT CAST(key AS INTEGER) AS offset FROM records WHERE lane IS NOT NULL AND state IN ('dirty', 'queued')"
    " UNION ALL SELECT CAST(key AS INTEGER) FROM dead_letters CROSS JOIN records ON records.id = record_id"
    " WHERE lane IS NOT NULL AND records.state = 'dead'"
)
"""Messages that are still to be delivered as they came. Two small indexes, and no look at the records of all others."""


def settle(
    connection: sqlite3.Connection,
    destination_id: int,
    destination: RecordDestination,
    now_ms: int,
    after_offset: int = -1,
) -> int | None:
    """Forget settled deliveries that no late fact can move any more, in one chunk after an offset.

    The offset to go on after, or None at the end. Part of the caller's transaction.
    """
    windows = destination.windows
    oldest_movable_ms = now_ms - max(windows.correction_ms, windows.park_ms)
    chunk = deliveries.page(connection, destination_id, after_offset, CHUNK)
    settled = [
        delivery
        for delivery in chunk
        if delivery.received_at_ms < oldest_movable_ms
        and delivery.state not in OPEN_STATES
        and _is_at_rest(connection, delivery)
    ]
    past = PastRules(connection, destination_id)

    def event_name(event_id: int) -> str:
        (name,) = connection.execute("SELECT value FROM event_names WHERE id = ?", (event_id,)).fetchone()
        return str(name)

    for delivery in settled:
        placing = past.placing_of(delivery)
        if placing is None:
            placed = destination.place(delivery, event_name)
        else:
            placed = destination.place_as(delivery, placing, event_name)
        _freeze(connection, destination_id, destination, placed, delivery)
    forgotten_as_filtered(connection, destination_id, [d for d in settled if d.state == FILTERED])
    deliveries.delete(connection, destination_id, settled)
    if len(chunk) < CHUNK or chunk[-1].received_at_ms >= oldest_movable_ms:
        return None
    return chunk[-1].offset


def _is_at_rest(connection: sqlite3.Connection, delivery: Delivery) -> bool:
    """Whether its own record is not due, as a row is whose lookup can be filled at last."""
    row = connection.execute("SELECT state FROM records WHERE id = ?", (delivery.own_record,)).fetchone()
    return row is None or row[0] == "clean"


def _freeze(
    connection: sqlite3.Connection,
    destination_id: int,
    destination: RecordDestination,
    placed: Placement,
    delivery: Delivery,
) -> None:
    """What a message added to tallies stays in them; its own record goes with it."""
    connection.execute("DELETE FROM references_missing WHERE record_id = ?", (delivery.own_record,))
    gone = connection.execute("DELETE FROM records WHERE id = ? RETURNING id", (delivery.own_record,)).fetchall()
    for spec in destination.objects:
        if spec.of_message:
            gone += connection.execute(
                "DELETE FROM records WHERE destination_id = ? AND object = ? AND shared = 1 AND key >= ? AND key < ?"
                " RETURNING id",
                (destination_id, spec.name, f"{delivery.offset}/", f"{delivery.offset}0"),  # 0 comes after /
            ).fetchall()
    for (record_id,) in gone:  # another record may get its id
        corrections.forget(connection, record_id)
    for contribution in placed.contributions:
        if contribution.tally_user is not None:
            connection.execute(
                "UPDATE tallies SET frozen_first_at_ms = min(coalesce(frozen_first_at_ms, ?1), ?1),"
                " frozen_last_at_ms = max(coalesce(frozen_last_at_ms, ?1), ?1)"
                " WHERE user_id = ?2 AND record_id = (SELECT id FROM records"
                " WHERE destination_id = ?3 AND object = ?4 AND key = ?5 AND shared = 1)",
                (delivery.at_ms, contribution.tally_user, destination_id, contribution.object, contribution.key),
            )


def crowded_records(connection: sqlite3.Connection) -> list[int]:
    """Records about which so much was said that folding it pays."""
    rows = connection.execute(
        "SELECT record_id FROM statements GROUP BY record_id HAVING count(*) > ?", (STATEMENTS_KEPT,)
    )
    return [record_id for (record_id,) in rows]


def fold_statements(connection: sqlite3.Connection, record_id: int) -> int:
    """Forget what was said about a record and said anew since, as far as no late fact can move it; how much.

    Every trait, membership and title keeps its newest statement, so the record holds what it held, also when a late
    fact takes back what can still be moved.
    """
    (destination_id,) = connection.execute("SELECT destination_id FROM records WHERE id = ?", (record_id,)).fetchone()
    (movable_from,) = connection.execute(
        f"SELECT coalesce((SELECT min(id) % {OFFSETS} FROM deliveries WHERE id BETWEEN ? AND ?),"
        " (SELECT next_offset FROM reader))",
        deliveries.delivery_ids(destination_id),
    ).fetchone()
    rows = connection.execute(
        "SELECT s.at_ms, s.message_id, s.offset, s.account_id, s.says_member, iif(s.has_traits, b.body, '{}')"
        " FROM statements s LEFT JOIN bodies b USING (offset) WHERE s.record_id = ?"
        " ORDER BY s.at_ms DESC, s.message_id DESC",
        (record_id,),
    ).fetchall()
    said: set[tuple[str, object]] = set()
    superseded = []
    for at_ms, message_id, offset, account_id, says_member, body in rows:
        if offset >= movable_from:
            continue
        says: set[tuple[str, object]] = {("trait", name) for name in decode_body(body or b"{}")}
        says |= {("member", says_member)} | ({("title", account_id)} if ("trait", "title") in says else set())
        if says <= said:
            superseded.append((record_id, at_ms, message_id, offset))
        said |= says
    connection.executemany(
        "DELETE FROM statements WHERE record_id = ? AND at_ms = ? AND message_id = ? AND offset = ?", superseded
    )
    connection.executemany(
        "DELETE FROM bodies WHERE offset = ?1 AND NOT EXISTS"
        f" (SELECT 1 FROM destinations JOIN deliveries ON deliveries.id = destinations.id * {OFFSETS} + ?1)"
        " AND NOT EXISTS (SELECT 1 FROM statements WHERE offset = ?1)",
        [(offset,) for _, _, _, offset in superseded],
    )
    return len(superseded)


def keep_open_messages(connection: sqlite3.Connection, log: EventLog, until_offset: int) -> int:
    """Copy messages still on their way out of the part of the log before an offset; how many were copied.

    Of a track what it says is kept, since the store holds that of the others; of a message that is delivered as it
    came, all of it.
    """
    return _keep_bodies(connection, log, until_offset) + _keep_originals(connection, log, until_offset)


def _keep_originals(connection: sqlite3.Connection, log: EventLog, until_offset: int) -> int:
    offsets = connection.execute(
        f"SELECT DISTINCT offset FROM ({_ORIGINALS_WANTED}) WHERE offset < ?"
        " AND offset NOT IN (SELECT offset FROM kept_originals) ORDER BY 1",
        (until_offset,),
    ).fetchall()
    names = dict(connection.execute("SELECT id, name FROM sources"))
    kept = []
    logged = None
    for (offset,) in offsets:
        if logged is None or offset >= logged.end:
            logged = log.entry_of(offset)
            if logged is None:
                continue
        source_id = logged.entry.source_id
        message = original_of(logged, offset, names.get(source_id, str(source_id)))
        if message is not None:
            kept.append((offset, message))
    connection.executemany("INSERT OR IGNORE INTO kept_originals (offset, message) VALUES (?,?)", kept)
    return len(kept)


def _keep_bodies(connection: sqlite3.Connection, log: EventLog, until_offset: int) -> int:
    offsets = connection.execute(
        f"SELECT DISTINCT deliveries.id % {OFFSETS} AS offset FROM destinations CROSS JOIN deliveries"
        f" ON deliveries.id BETWEEN destinations.id * {OFFSETS} AND destinations.id * {OFFSETS} + ? - 1"
        f" WHERE +deliveries.type = 'track' AND state IN ({','.join('?' * len(OPEN_STATES))})"
        f" AND deliveries.id % {OFFSETS} NOT IN (SELECT offset FROM kept_messages) ORDER BY 1",
        (until_offset, *OPEN_STATES),
    ).fetchall()
    bodies: list[tuple[int, bytes]] = []
    entry_messages: dict[int, bytes] = {}
    for (offset,) in offsets:
        if offset not in entry_messages:
            logged = log.entry_of(offset)
            if logged is None:
                continue
            entry_messages = {o: message.body for o, message in messages_of(logged).items()}
        if offset in entry_messages:
            bodies.append((offset, entry_messages[offset]))
    connection.executemany("INSERT OR IGNORE INTO kept_messages (offset, body) VALUES (?,?)", bodies)
    return len(bodies)


def drop_kept_messages(connection: sqlite3.Connection) -> None:
    """Kept copies of messages that have arrived are not needed any more."""
    connection.execute(
        "DELETE FROM kept_messages WHERE NOT EXISTS (SELECT 1 FROM destinations JOIN deliveries"
        f" ON deliveries.id = destinations.id * {OFFSETS} + kept_messages.offset"
        f" WHERE state IN ({','.join('?' * len(OPEN_STATES))}))",
        OPEN_STATES,
    )
    connection.execute(f"DELETE FROM kept_originals WHERE offset NOT IN ({_ORIGINALS_WANTED})")


def part_to_remove(log: EventLog, read_until: int, older_than_ms: int, max_bytes: int) -> int:
    """The offset before which retention may remove entries: by age, and by size as if entries were of one size."""
    start, end = log.start(), log.end()
    until = first_received_since(log, older_than_ms, read_until)
    size = log.size_bytes()
    if size > max_bytes and end > start:
        until = max(until, start + round((end - start) * (size - max_bytes) / size))
    return min(until, read_until)
