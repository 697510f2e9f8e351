"""The way from the log to dirty records, for the benchmarks that resolve without a running engine."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from benchmarks.messages import BATCH, message
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.gainsight.destination import GainsightDestination
from gainsight_destination.destinations.gainsight.settings import parse_settings
from gainsight_destination.engine import BATCH_BYTES, BATCH_MESSAGES
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.runtime.garbage import collect_rarely
from gainsight_destination.store.database import connect_state, transaction
from gainsight_destination.store.migrate import migrate

NOW_MS = 1_800_000_000_000
WINDOW_MS = 7 * 86_400_000
ACCESS_KEY = "5a4dbc0e-5a4d-4b0c-8e5a-4dbc0e5a4dbc"
REFUSING = "http://127.0.0.1:1"


def same_time(number: int) -> int:
    """Every message is of one second."""
    return NOW_MS


def fill(
    folder: Path,
    events: int,
    users: int,
    time_of_ms: Callable[[int], int] = same_time,
    kind: EntryKind = EntryKind.BATCH,
) -> None:
    """Write a log of batches of 100, as ingest would; message `number` is said and received at `time_of_ms(number)`."""
    chance = random.Random(1)
    with closing(SqliteEventLog(folder / "log.db")) as log:
        for start in range(0, events, BATCH * 50):
            entries = []
            for first in range(start, min(start + BATCH * 50, events), BATCH):
                numbers = range(first, min(first + BATCH, events))
                items = [message(chance, number, users, time_of_ms(number)) for number in numbers]
                body = msgspec.json.encode(items if kind is EntryKind.ARCHIVE else {"batch": items})
                entries.append(Entry(1, kind, time_of_ms(numbers[-1]), len(items), body))
            log.append(entries)


def gainsight(*, rows: bool) -> Connected:
    """The real destination with daily usage, and with event rows or without."""
    settings = {"accessKey": ACCESS_KEY, "domain": REFUSING} | ({} if rows else {"eventObject": None})
    return Connected(1, "gainsight", frozenset({1}), GainsightDestination(parse_settings(settings)))


def resolve_log(folder: Path, connected: Connected) -> Iterator[int]:
    """Resolve what the log holds, in portions as the engine takes them; yields the offset after each transaction."""
    with (
        closing(SqliteEventLog(folder / "log.db")) as log,
        closing(connect_state(folder / "state.db")) as connection,
    ):
        migrate(connection, "gainsight_destination.store.migrations")
        resolver = Resolver(connection, log, [connected], duplicate_window_ms=WINDOW_MS)
        offset = 0
        collect_rarely()
        while entries := log.read(offset, max_messages=BATCH_MESSAGES, max_bytes=BATCH_BYTES):
            with transaction(connection):
                resolver.resolve(entries, entries[-1].entry.received_at_ms)
            offset = entries[-1].end
            yield offset
