"""What a destination may ask of the store when it computes records: one snapshot, with a little memory."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from gainsight_destination.destinations.contract import Arrival, Correction, Delivery, Record, Statement
from gainsight_destination.eventlog.contract import EntryKind, EventLog
from gainsight_destination.events.message import Message, decode_body, messages_of
from gainsight_destination.events.original import original_of
from gainsight_destination.records import corrections, deliveries
from gainsight_destination.records.priorities import Priority
from gainsight_destination.resolve.identities import ANONYMOUS, IdentityGraph


class StoreReader:
    """Implements `RecordReader` for one destination on one read connection.

    `priority`: that of the records to compute. One that goes after them is not on its way as far as they are concerned.
    """

    def __init__(self, connection: sqlite3.Connection, destination_id: int, log: EventLog, priority: int = 0) -> None:
        self._connection = connection
        self._destination_id = destination_id
        self._log = log
        self._priority = priority
        self._graph = IdentityGraph(connection)
        self._texts: dict[tuple[str, int], str] = {}
        self._entries: dict[int, dict[int, Message]] = {}

    def account(self, account_id: int) -> str:
        return self._text("accounts", account_id)

    def email(self, email_id: int) -> str:
        return self._text("emails", email_id)

    def event_name(self, event_id: int) -> str:
        return self._text("event_names", event_id)

    def identity(self, identity_id: int) -> str:
        return self._text("identities", identity_id)

    def is_anonymous(self, identity_id: int) -> bool:
        (kind,) = self._connection.execute("SELECT kind FROM identities WHERE id = ?", (identity_id,)).fetchone()
        return bool(kind == ANONYMOUS)

    def _text(self, table: str, row_id: int) -> str:
        text = self._texts.get((table, row_id))
        if text is None:
            (text,) = self._connection.execute(f"SELECT value FROM {table} WHERE id = ?", (row_id,)).fetchone()
            self._texts[table, row_id] = text
        return str(text)

    def email_of_user(self, user_id: int, at_ms: int) -> int | None:
        fact = self._graph.email_in_force(user_id, at_ms)
        return None if fact is None else fact.value

    def delivery(self, offset: int) -> Delivery:
        found = deliveries.get(self._connection, self._destination_id, offset)
        if found is None:
            raise LookupError(f"no delivery of message {offset} to destination {self._destination_id}")
        return found

    def body(self, offset: int) -> Mapping[str, Any] | None:
        row = self._connection.execute(
            "SELECT body FROM bodies WHERE offset = ?1 UNION ALL SELECT body FROM kept_messages WHERE offset = ?1",
            (offset,),
        ).fetchone()
        if row is not None:
            return decode_body(row[0])
        message = self._messages_around(offset).get(offset)
        return None if message is None else decode_body(message.body)

    def arrival(self, record: Record, offset: int) -> Arrival:
        (priority,) = self._connection.execute("SELECT priority FROM records WHERE id = ?", (record.id,)).fetchone()
        if priority == Priority.RETRY:
            return "retry"
        if priority == Priority.REPLAY:
            return "replay"
        logged = self._log.entry_of(offset)
        archived = priority == Priority.BACKFILL if logged is None else logged.entry.kind == EntryKind.ARCHIVE
        return "archive" if archived else "live"

    def original(self, offset: int) -> bytes | None:
        row = self._connection.execute("SELECT message FROM kept_originals WHERE offset = ?", (offset,)).fetchone()
        if row is not None:
            return bytes(row[0])
        logged = self._log.entry_of(offset)
        return None if logged is None else original_of(logged, offset, self._source_name(logged.entry.source_id))

    def _source_name(self, source_id: int) -> str:
        row = self._connection.execute("SELECT name FROM sources WHERE id = ?", (source_id,)).fetchone()
        return str(source_id) if row is None else str(row[0])

    def _messages_around(self, offset: int) -> dict[int, Message]:
        for messages in self._entries.values():
            if offset in messages:
                return messages
        logged = self._log.entry_of(offset)
        if logged is None:
            return {}
        self._entries[logged.offset] = messages_of(logged)
        return self._entries[logged.offset]

    def statements(self, record_id: int) -> list[tuple[int, str, Statement, Mapping[str, Any]]]:
        rows = self._connection.execute(
            "SELECT s.at_ms, s.message_id, s.account_id, s.says_member, s.has_traits, b.body"
            " FROM statements s LEFT JOIN bodies b ON s.has_traits AND b.offset = s.offset"
            " WHERE s.record_id = ? ORDER BY s.at_ms, s.message_id",
            (record_id,),
        )
        return [
            (
                at_ms,
                message_id,
                Statement(account_id, says_member, bool(has_traits)),
                {} if body is None else decode_body(body),
            )
            for at_ms, message_id, account_id, says_member, has_traits, body in rows
        ]

    def corrections(self, record_id: int) -> Mapping[str, Correction]:
        return corrections.of_record(self._connection, record_id)

    def is_on_its_way(self, object_name: str, key: str) -> bool:
        row = self._connection.execute(
            "SELECT 1 FROM records WHERE destination_id = ? AND object = ? AND key = ? AND shared = 1"
            " AND state = 'dirty' AND presence <> 'present' AND priority <= ?",
            (self._destination_id, object_name, key, self._priority),
        ).fetchone()
        return row is not None

    def tally(self, record_id: int) -> tuple[int, int, int]:
        count, first_at_ms, last_at_ms = self._connection.execute(
            "SELECT coalesce(sum(count), 0), coalesce(min(first_at_ms), 0), coalesce(max(last_at_ms), 0)"
            " FROM tallies WHERE record_id = ? AND count > 0",
            (record_id,),
        ).fetchone()
        return count, first_at_ms, last_at_ms
