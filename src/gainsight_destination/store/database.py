"""A SQLite file with one writer thread and snapshot readers.

Every write is a function run inside one `BEGIN IMMEDIATE` transaction on the writer thread: it commits whole
or not at all, and whatever it raises reaches the caller. Readers never wait for the writer (WAL).
Other processes may write the same file (the CLI does); SQLite's own lock orders the transactions.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from gainsight_destination.errors import StorageFullError, UnavailableError
from gainsight_destination.store.fence import check_term, take_charge

T = TypeVar("T")

BUSY_TIMEOUT_SECONDS = 15.0
STATE_CACHE_KB = 65_536
"""Pages that the writer of the state keeps in memory: with SQLite's own 2 MB they are read again and again once the
tables have grown. The log, which only grows at its end, needs no more than those."""

STATE_CHECKPOINT_PAGES = 16_384
"""The write-ahead file of the state is moved into the state itself when it has so many pages (64 MiB): a page that one
transaction after another changes is then moved once. With SQLite's own 1,000, nearly every commit moved all of it."""


def connect(
    path: Path, *, read_only: bool = False, cache_kb: int = 2_000, checkpoint_pages: int = 1_000
) -> sqlite3.Connection:
    """Open a SQLite file with the settings every file of the product uses: WAL, full sync, foreign keys."""
    if read_only:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
    else:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA cache_size = {-cache_kb}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages}")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def connect_state(path: Path) -> sqlite3.Connection:
    """Open the state as its one busy writer does."""
    return connect(path, cache_kb=STATE_CACHE_KB, checkpoint_pages=STATE_CHECKPOINT_PAGES)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """One immediate transaction; SQLite's refusals become errors that say what to do next."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.OperationalError as error:
        text = str(error)
        if "full" in text or "disk I/O" in text:
            raise StorageFullError(f"the disk refused a write: {text}") from error
        if "locked" in text or "busy" in text:
            raise UnavailableError(f"the database is locked by another process: {text}") from error
        raise


class Database:
    """One writer thread and a reader per thread for one SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{path.stem}-writer")
        self._connection = self._executor.submit(connect_state, path).result()
        self._local = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self._closed = False
        self._term: int | None = None

    def take_charge(self) -> None:
        """From now on no process that took charge before changes this file, nor this one after a later one did.

        Writes then raise FencedError.
        """
        self._term = self.submit(take_charge).result()

    def submit(
        self, write: Callable[[sqlite3.Connection], T], *, undone: Callable[[], None] = lambda: None
    ) -> "Future[T]":
        """Run `write` in one transaction on the writer thread.

        `undone` is called if it does not commit, before any other write has its turn: memory that is ahead of the
        store now must not be asked by them.
        """

        def run() -> T:
            try:
                with transaction(self._connection) as connection:
                    if self._term is not None:
                        check_term(connection, self._term)
                    return write(connection)
            except BaseException:
                undone()
                raise

        return self._executor.submit(run)

    async def write(self, write: Callable[[sqlite3.Connection], T], *, undone: Callable[[], None] = lambda: None) -> T:
        """Like `submit`, awaited."""
        return await asyncio.wrap_future(self.submit(write, undone=undone))

    def reader(self) -> sqlite3.Connection:
        """This thread's read-only connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = connect(self.path, read_only=True)
            self._local.connection = connection
            self._readers.append(connection)
        return connection

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` on one snapshot, in a worker thread."""
        return await asyncio.to_thread(self._read, read)

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        connection = self.reader()
        connection.execute("BEGIN")
        try:
            return read(connection)
        finally:
            connection.execute("COMMIT")

    def close(self) -> None:
        """Finish the writes under way and release the file. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._executor.submit(self._connection.close).result()
        self._executor.shutdown()
        for reader in self._readers:
            reader.close()
