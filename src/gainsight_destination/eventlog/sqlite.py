"""The embedded event log: one SQLite file beside the state, written by ingest and read by the engine.

It promises what `contract.EventLog` promises. Bodies are rows keyed by offset, so an append goes to the right edge
of one B-tree, and one commit is one fsync of the write-ahead log however many entries it carries.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from gainsight_destination.errors import UnavailableError, UserError
from gainsight_destination.eventlog.checkpoint import Checkpointer
from gainsight_destination.eventlog.contract import DAY_MS, NO_LIMIT_BYTES, Entry, EntryKind, LoggedEntry, Received
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate

MIGRATIONS = "gainsight_destination.eventlog.migrations"
PAGE_BYTES = 16_384
"""Larger pages than SQLite's own 4,096: a body of 54 KB then takes 4 overflow pages instead of 14."""

REMOVE_ENTRIES = 64
"""Entries removed per transaction by `retain`: few, so that an append waits milliseconds at most."""

COMMIT_BYTES = 3 * PAGE_BYTES
"""What a commit writes besides its bodies, roughly: the pages it only touches."""

END = "SELECT coalesce(sum(messages), 0) FROM received"
KEPT_BYTES = "SELECT coalesce(sum(body_bytes), 0) - (SELECT body_bytes FROM removed) FROM received"
ADD_RECEIVED = (
    "INSERT INTO received VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE "
    "SET messages = messages + excluded.messages, body_bytes = body_bytes + excluded.body_bytes, "
    "day_bytes = excluded.day_bytes * (excluded.day >= day) + day_bytes * (excluded.day <= day), "
    "day = max(day, excluded.day)"
)
"""The sums of a source are one row, so that a commit touches one page for all of them."""
COLUMNS = '"offset", source_id, kind, received_at_ms, count, body'


class SqliteEventLog:
    """`contract.EventLog` on one SQLite file. Every method may be called from any thread.

    A log opened with `read_only` answers reads and refuses `append` and `retain` with UnavailableError.
    Raises UserError when a read-only log is not there, StoppedError when the file is newer than the code.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self.read_only = read_only
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        if read_only:
            if not path.exists():
                raise UserError(f"there is no event log at {path}; start `gainsight-destination serve` once to make it")
        else:
            self._writer = open_writer(path)
            self._checkpointer = Checkpointer(path, self._write_lock)
        self._reader = connect(path, read_only=True)

    def append(self, entries: Sequence[Entry], *, live: bool = True) -> int:
        with self._write_lock, self._transaction() as connection:
            first = offset = int(connection.execute(END).fetchone()[0])
            rows, received = [], dict[tuple[int, int], tuple[int, int]]()
            for entry in entries:
                size = len(entry.body)
                rows.append((offset, entry.source_id, entry.kind, entry.received_at_ms, entry.count, entry.body))
                day = entry.received_at_ms // DAY_MS if live else 0
                messages, body_bytes = received.get((entry.source_id, day), (0, 0))
                received[entry.source_id, day] = (messages + entry.count, body_bytes + size)
                offset += entry.count
            connection.executemany(f"INSERT INTO entries ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.executemany(
                ADD_RECEIVED,
                [
                    (source_id, messages, body_bytes, day, body_bytes if day else 0)
                    for (source_id, day), (messages, body_bytes) in received.items()
                ],
            )
            if not entries:
                connection.execute("UPDATE removed SET body_bytes = body_bytes")
            self._checkpointer.wrote(sum(sums[1] for sums in received.values()) + COMMIT_BYTES)
        return first

    def read(self, offset: int, *, max_messages: int, max_bytes: int = NO_LIMIT_BYTES) -> list[LoggedEntry]:
        with self._read_lock:
            rows = self._reader.execute(
                f'SELECT {COLUMNS} FROM entries WHERE "offset" >= ? ORDER BY "offset" LIMIT ?',
                (offset, max(1, max_messages)),
            )
            with closing(rows):
                found = list(within(map(logged_entry, rows), max_messages, max_bytes))
        if (not found or found[0].offset != offset) and (inside := self.entry_of(offset)) and inside.offset != offset:
            raise ValueError(f"offset {offset} is inside the entry at {inside.offset}; read from the start of an entry")
        return found

    def entry_of(self, offset: int) -> LoggedEntry | None:
        with self._read_lock:
            row = self._reader.execute(
                f'SELECT {COLUMNS} FROM entries WHERE "offset" <= ? ORDER BY "offset" DESC LIMIT 1', (offset,)
            ).fetchone()
        entry = logged_entry(row) if row else None
        return entry if entry and offset < entry.end else None

    def end(self) -> int:
        return self._number(END)

    def start(self) -> int:
        return self._number(f'SELECT coalesce((SELECT min("offset") FROM entries), ({END}))')

    def received(self) -> Mapping[int, int]:
        with self._read_lock:
            return dict(self._reader.execute("SELECT source_id, messages FROM received"))

    def received_in_detail(self) -> Mapping[int, Received]:
        with self._read_lock:
            rows = self._reader.execute("SELECT source_id, messages, body_bytes, day, day_bytes FROM received")
            return {source_id: Received(*sums) for source_id, *sums in rows}

    def bytes_from(self, offset: int) -> Mapping[int, int]:
        with self._read_lock:
            return dict(
                self._reader.execute(
                    'SELECT source_id, sum(length(body)) FROM entries WHERE "offset" >= ? GROUP BY source_id', (offset,)
                )
            )

    def size_bytes(self) -> int:
        files = (self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def reusable_bytes(self) -> int:
        return self._number("PRAGMA freelist_count") * self._number("PRAGMA page_size")

    def retain(self, *, keep_from_offset: int, older_than_ms: int, max_bytes: int) -> int:
        removed = 0
        while step := self._remove_oldest(keep_from_offset, older_than_ms, max_bytes):
            removed += step
        return removed

    def close(self) -> None:
        if self._writer is not None:
            self._checkpointer.close()
        with self._write_lock, self._read_lock:
            self._reader.close()
            if self._writer is not None:
                self._writer.close()

    def _remove_oldest(self, keep_from_offset: int, older_than_ms: int, max_bytes: int) -> int:
        """Remove up to REMOVE_ENTRIES entries in one transaction; return how many messages they held."""
        messages, freed_bytes, last = 0, 0, -1
        with self._write_lock, self._transaction() as connection:
            (kept_bytes,) = connection.execute(KEPT_BYTES).fetchone()
            oldest = connection.execute(
                'SELECT "offset", count, received_at_ms, length(body) FROM entries '
                'WHERE "offset" < ? ORDER BY "offset" LIMIT ?',
                (keep_from_offset, REMOVE_ENTRIES),
            ).fetchall()
            for offset, count, received_at_ms, length in oldest:
                needed = offset + count > keep_from_offset
                welcome = received_at_ms >= older_than_ms and kept_bytes - freed_bytes <= max_bytes
                if needed or welcome:
                    break
                messages, freed_bytes, last = messages + count, freed_bytes + length, offset
            if messages:
                connection.execute('DELETE FROM entries WHERE "offset" <= ?', (last,))
                connection.execute("UPDATE removed SET body_bytes = body_bytes + ?", (freed_bytes,))
                self._checkpointer.wrote(freed_bytes + COMMIT_BYTES)
        return messages

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise UnavailableError("the event log was opened to read only")
        with transaction(self._writer) as connection:
            yield connection

    def _number(self, sql: str) -> int:
        with self._read_lock:
            (number,) = self._reader.execute(sql).fetchone()
        return int(number)


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the log to write, making or upgrading the file."""
    if not path.exists():
        # The size of a page is fixed by the first write, which `connect` makes when it switches to WAL.
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
    connection = connect(path)
    migrate(connection, MIGRATIONS)
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # see checkpoint.py
    return connection


def logged_entry(row: tuple[int, int, int, int, int, bytes]) -> LoggedEntry:
    offset, source_id, kind, received_at_ms, count, body = row
    return LoggedEntry(offset, Entry(source_id, EntryKind(kind), received_at_ms, count, body))


def within(entries: Iterable[LoggedEntry], max_messages: int, max_bytes: int) -> Iterator[LoggedEntry]:
    """Entries while they fit in both limits together; the first one always."""
    messages = size = 0
    for number, entry in enumerate(entries):
        messages += entry.entry.count
        size += len(entry.entry.body)
        if number > 0 and (messages > max_messages or size > max_bytes):
            return
        yield entry
