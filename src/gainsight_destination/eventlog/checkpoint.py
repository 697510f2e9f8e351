"""Moves what the log's write-ahead file holds into the log itself, beside the appends instead of inside one of them.

SQLite would do it in the commit that crosses a size, and that one acknowledgement would wait for all of it. Here a
thread does it in small steps. Appends only wait for the last, short step, after which SQLite starts the file anew.
"""

import sqlite3
import threading
from pathlib import Path

import structlog

from gainsight_destination.store.database import connect

STEP_BYTES = 2 * 1024 * 1024
"""The write-ahead file may grow by about this much before the next step; measured, see docs/ingest.md."""

logger = structlog.get_logger(__name__)


class Checkpointer:
    """Call `wrote` after each append, under `write_lock`; it takes the lock itself only for the last step."""

    def __init__(self, path: Path, write_lock: threading.Lock) -> None:
        self._connection = connect(path)
        self._write_lock = write_lock
        self._written_bytes = 0
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="log-checkpoint", daemon=True)
        self._thread.start()

    def wrote(self, size_bytes: int) -> None:
        """Count what an append put into the write-ahead file."""
        self._written_bytes += size_bytes
        if self._written_bytes >= STEP_BYTES:
            self._written_bytes = 0
            self._due.set()

    def close(self) -> None:
        self._closed = True
        self._due.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._due.wait() and not self._closed:
            self._due.clear()
            try:
                self._step()
                with self._write_lock:
                    self._step()
            except sqlite3.Error as error:
                # Nothing is lost: the messages stay in the write-ahead file until a later step succeeds.
                logger.warning("event log checkpoint failed", reason=str(error))

    def _step(self) -> None:
        """Move what no reader needs where it is, without waiting for readers or writers."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
