"""The way from the log to records, run by hand: a real log, a real store, the real Gainsight destination."""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gainsight_destination.deliver import outcomes
from gainsight_destination.deliver.outcomes import Sent
from gainsight_destination.deliver.reader import StoreReader
from gainsight_destination.destinations.contract import Connected, Delivered, Draft, Outcome, Record
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.destinations.gainsight.schema import Schema
from gainsight_destination.destinations.gainsight.settings import parse_settings
from gainsight_destination.destinations.gainsight.values import Field
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.observe.status import status
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate

ACCESS_KEY = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS

TYPES = {
    "Employees": "NUMBER",
    "Event_Count__gc": "NUMBER",
    "Usage_Date__gc": "DATE",
    "Event_Time__gc": "DATETIME",
    "First_At__gc": "DATETIME",
    "Last_At__gc": "DATETIME",
}
NAMES = (
    *("Name", "Industry", "Employees", "SfdcAccountId", "Email", "FirstName", "LastName", "MiddleName", "Location"),
    *("Timezone", "LinkedinUrl", "Message_Id__gc", "Event_Name__gc", "Event_Time__gc", "User_Id__gc"),
    *("Account_Id__gc", "Company_Id__gc", "Person_Id__gc", "Properties__gc", "Usage_Key__gc", "Usage_Date__gc"),
    *("Event_Count__gc", "First_At__gc", "Last_At__gc"),
)
SCHEMA = Schema("Any", {name: Field(name, TYPES.get(name, "STRING")) for name in NAMES})


class Pipeline:
    """One destination connected to sources 1 and 2; source 3 is not connected. `limited`: those of limited trust."""

    def __init__(
        self,
        directory: Path,
        *,
        limited: Iterable[int] = (),
        consentCategories: Sequence[str] = (),  # noqa: N803
        **settings: Any,
    ) -> None:
        self.limited = frozenset(limited)
        self.directory = directory
        self.log = SqliteEventLog(directory / "log.db")
        self.connection = connect(directory / "state.db")
        migrate(self.connection, "gainsight_destination.store.migrations")
        self.now_ms = NOW_MS
        self.destination = GainsightDestination(
            parse_settings({"accessKey": ACCESS_KEY, "domain": "http://127.0.0.1:8090", **settings})
        )
        self.destination._schemas = dict.fromkeys(("company", "person", "event", "usage"), SCHEMA)
        consent = frozenset(consentCategories)
        self.connected = Connected(1, "gainsight", frozenset({1, 2}), self.destination, consent)
        self.connection.executescript(
            """
            INSERT OR IGNORE INTO sources (id, name, write_key) VALUES (1, 'website', 'w1'), (2, 'server', 'w2'),
              (3, 'other', 'w3');
            INSERT OR IGNORE INTO destinations (id, name, type, settings) VALUES (1, 'gainsight', 'gainsight', '{}');
            INSERT OR IGNORE INTO connections VALUES (1, 1), (2, 1);
            """
        )
        self.restart()

    def restart(self, destinations: Sequence[Connected] | None = None) -> None:
        """A new resolver that remembers nothing, as after a crash; perhaps with other destinations enabled."""
        enabled = [self.connected] if destinations is None else destinations
        with transaction(self.connection):
            self.resolver = Resolver(
                self.connection, self.log, enabled, duplicate_window_ms=WINDOW_MS, limited=self.limited
            )

    def trust(self, *, limited: Iterable[int]) -> None:
        """Another trust of sources from now on, as the engine takes it over."""
        self.limited = frozenset(limited)
        self.restart()
        self.review()

    def review(self, chunk: int = 2) -> None:
        """What the engine does at the start of a configuration and every minute."""
        more = True
        while more:
            with transaction(self.connection):
                more = self.resolver.review(self.connected, self.now_ms, limit=chunk)

    def reconfigure(self, *, consentCategories: Sequence[str] = (), **settings: Any) -> None:  # noqa: N803
        """Other settings of the destination from now on."""
        schemas = self.destination._schemas
        self.destination = GainsightDestination(
            parse_settings({"accessKey": ACCESS_KEY, "domain": "http://127.0.0.1:8090", **settings})
        )
        self.destination._schemas = schemas
        consent = frozenset(consentCategories)
        self.connected = Connected(1, "gainsight", frozenset({1, 2}), self.destination, consent)
        self.restart()

    def resolve_parked(self) -> None:
        """What the engine does at the start of a configuration."""
        with transaction(self.connection):
            assert self.resolver.resolve_parked(self.connected, -1, self.now_ms) is None

    def close(self) -> None:
        self.log.close()
        self.connection.close()

    def send(self, *messages: Mapping[str, Any], source: int = 1, received_at_ms: int | None = None) -> None:
        """Append one batch request, as ingest would."""
        self.send_envelope({}, *messages, source=source, received_at_ms=received_at_ms)

    def send_envelope(
        self,
        envelope: Mapping[str, Any],
        *messages: Mapping[str, Any],
        source: int = 1,
        received_at_ms: int | None = None,
    ) -> None:
        """As `send`, with what the messages share."""
        body = json.dumps({**envelope, "batch": list(messages)}).encode()
        at_ms = self.now_ms if received_at_ms is None else received_at_ms
        self.log.append([Entry(source, EntryKind.BATCH, at_ms, len(messages), body)])

    def resolve(self, max_messages: int = 10_000) -> None:
        """Resolve everything in the log, in transactions of at most so many messages."""
        while True:
            (offset,) = self.connection.execute("SELECT next_offset FROM reader").fetchone()
            entries = self.log.read(offset, max_messages=max_messages)
            if not entries:
                return
            with transaction(self.connection):
                self.resolver.resolve(entries, self.now_ms)

    def expire(self) -> None:
        with transaction(self.connection):
            self.resolver.expire_parked(self.now_ms)

    def records(self, states: Iterable[str] = ("clean", "dirty", "parked", "dead")) -> list[Record]:
        rows = self.connection.execute(
            "SELECT id, object, key, (SELECT revision FROM reader), presence, remote_id, attempts, delivered_digest,"
            " dirty_since_ms, state FROM records ORDER BY id"
        )
        return [Record(*row[:9]) for row in rows if row[9] in states]

    def drafts(self, states: Iterable[str] = ("clean", "dirty", "parked", "dead")) -> list[Draft]:
        reader = StoreReader(self.connection, 1, self.log)
        return [draft for record in self.records(states) for draft in self.destination.project(reader, [record])]

    def held(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What Gainsight should hold, by object and name."""
        return {(draft.record.object, draft.name): dict(draft.fields) for draft in self.drafts() if draft.wanted}

    def settle(self, found: Mapping[int, Outcome] | None = None) -> None:
        """Write outcomes for the dirty records: by default all are delivered."""
        records = {record.id: record for record in self.records(("dirty", "parked"))}
        found = found if found is not None else {record_id: Delivered(b"d") for record_id in records}
        sent = {r.id: Sent(r.id, r.object, r.key, r.version) for r in records.values()}
        with transaction(self.connection):
            outcomes.apply(self.connection, 1, sent, found, self.now_ms)

    def books(self) -> dict[str, Any]:
        document = status(self.connection, self.log, self.now_ms)
        books: dict[str, Any] = document["destinations"]["gainsight"]
        assert books["balanced"], document
        check_counts(self.connection)
        return books

    def figures(self) -> dict[str, Any]:
        """The books without what is not about messages."""
        books = self.books()
        keys = ("received", "discarded", "duplicates", "filtered", "parked", "pending", "delivered", "dead")
        return {key: books[key] for key in keys}

    def query(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self.connection.execute(sql, values).fetchall()


def check_counts(connection: sqlite3.Connection) -> None:
    """The kept counts of records are those that counting them gives."""
    kinds = "destination_id, object, state, presence, priority, coalesce(batch_limit, 0)"
    counted = set(connection.execute(f"SELECT {kinds}, count(*) FROM records GROUP BY {kinds}"))
    assert set(connection.execute("SELECT * FROM record_counts WHERE records <> 0")) == counted


def at(minutes: float) -> str:
    """A timestamp so many minutes before NOW_MS (negative: earlier)."""
    from gainsight_destination.events.timestamps import iso_utc

    return iso_utc(NOW_MS + round(minutes * 60_000))


def identify(user: str | None, traits: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": dict(traits or {}), **more}


def track(user: str | None, event: str = "Report Viewed", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, **more}


def group(user: str | None, group_id: Any, traits: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"type": "group", "userId": user, "groupId": group_id, "traits": dict(traits or {}), **more}
