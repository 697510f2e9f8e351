"""Log to records: how many events a second one core resolves, usage only and with a row per event."""

import random
import tempfile
import time
from pathlib import Path

import msgspec

from benchmarks.report import Figure
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.destinations.gainsight.settings import parse_settings
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.store.database import STATE_CACHE_KB, connect, transaction
from gainsight_destination.store.migrate import migrate

NOW_MS = 1_800_000_000_000
BATCH = 100
TRANSACTION = 20_000


def fill(log: SqliteEventLog, events: int, users: int) -> None:
    """Identify every tenth message, else track over 30 names: about 545 bytes each, as SDKs send them."""
    chance = random.Random(1)
    for start in range(0, events, BATCH * 50):
        entries = []
        for first in range(start, min(start + BATCH * 50, events), BATCH):
            items = [message(chance, number, users) for number in range(first, first + BATCH)]
            body = msgspec.json.encode({"batch": items, "sentAt": "2027-01-15T08:00:00.000Z"})
            entries.append(Entry(1, EntryKind.BATCH, NOW_MS, BATCH, body))
        log.append(entries)


def message(chance: random.Random, number: int, users: int) -> dict[str, object]:
    user = chance.randrange(users)
    common = {
        "messageId": f"{number:08x}-6c0f-4f55-9f1c-0123456789ab",
        "timestamp": "2027-01-15T07:59:59.000Z",
        "userId": f"user-{user}",
        "anonymousId": f"5f0c3f4e-{user:08d}",
        "context": {
            "library": {"name": "analytics-python", "version": "2.4.0"},
            "page": {
                "url": "https://app.example.com/reports/quarterly",
                "path": "/reports/quarterly",
                "title": "Reports",
            },
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
        },
        "integrations": {},
    }
    account = f"001A0000006{user % 200:04d}"
    if number % 10 == 0:
        return common | {"type": "identify", "traits": {"accountId": account, "email": f"user{user}@example.com"}}
    return common | {
        "type": "track",
        "event": f"Event {chance.randrange(30)}",
        "properties": {"accountId": account, "rows": number, "plan": "gold"},
    }


def measure(events: int, users: int, *, rows: bool) -> Figure:
    settings = {"accessKey": "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc", "domain": "http://127.0.0.1:1"}
    destination = GainsightDestination(parse_settings(settings | ({} if rows else {"eventObject": None})))
    with tempfile.TemporaryDirectory() as directory:
        log = SqliteEventLog(Path(directory) / "log.db")
        fill(log, events, users)
        connection = connect(Path(directory) / "state.db", cache_kb=STATE_CACHE_KB)
        migrate(connection, "gainsight_destination.store.migrations")
        resolver = Resolver(
            connection,
            log,
            [Connected(1, "gainsight", frozenset({1}), destination)],
            duplicate_window_ms=7 * 86_400_000,
        )
        started, cpu = time.perf_counter(), time.process_time()
        offset = 0
        while entries := log.read(offset, max_messages=TRANSACTION):
            with transaction(connection):
                resolver.resolve(entries, NOW_MS)
            offset = entries[-1].end
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        log.close()
        connection.close()
    what = "with event rows" if rows else "usage only"
    return Figure(
        f"log to records, {what}, {users:,} users", events / wall, "events/s", f"{cpu / events * 1e6:.1f} us CPU"
    )


def run(*, seconds: float) -> list[Figure]:
    """Resolve 100,000 events; `seconds` does not matter here."""
    del seconds
    return [measure(100_000, 5_000, rows=rows) for rows in (False, True)]
