"""What is particular to the SQLite event log: its file, its disk, its readers."""

import sqlite3
from pathlib import Path

import pytest

from gainsight_destination.errors import StoppedError, StorageFullError, UnavailableError, UserError
from gainsight_destination.eventlog import checkpoint
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import PAGE_BYTES, SqliteEventLog


def entry(size: int) -> Entry:
    return Entry(1, EntryKind.TRACK, 0, 1, b"x" * size)


def test_a_missing_log_cannot_be_opened_to_read(tmp_path: Path) -> None:
    """The message names the file and what makes one."""
    with pytest.raises(UserError, match="no event log at"):
        SqliteEventLog(tmp_path / "log.db", read_only=True)


def test_a_read_only_log_refuses_to_write(tmp_path: Path) -> None:
    """It reads what another wrote, and writes nothing."""
    SqliteEventLog(tmp_path / "log.db").close()
    log = SqliteEventLog(tmp_path / "log.db", read_only=True)
    with pytest.raises(UnavailableError):
        log.append([entry(1)])
    with pytest.raises(UnavailableError):
        log.retain(keep_from_offset=0, older_than_ms=0, max_bytes=0)
    assert log.end() == 0
    log.close()


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    """A log of a later version is left alone."""
    path = tmp_path / "log.db"
    SqliteEventLog(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    with pytest.raises(StoppedError, match="newer version"):
        SqliteEventLog(path)


def test_the_file_has_large_pages_and_full_sync(tmp_path: Path) -> None:
    """The settings that durability and speed rest on are in force."""
    log = SqliteEventLog(tmp_path / "log.db")
    assert log._writer is not None
    settings = [
        log._writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "synchronous", "journal_mode")
    ]
    assert settings == [PAGE_BYTES, 2, "wal"]
    log.close()


def test_a_full_disk_stores_nothing_of_the_group(tmp_path: Path) -> None:
    """All of a refused group is gone, all before it stays, and the next one fits again."""
    log = SqliteEventLog(tmp_path / "log.db")
    log.append([entry(10)])
    assert log._writer is not None
    (pages,) = log._writer.execute("PRAGMA page_count").fetchone()
    log._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StorageFullError):
        log.append([entry(100), entry(1_000_000)])
    assert (log.end(), dict(log.received())) == (1, {1: 1})
    log._writer.execute("PRAGMA max_page_count = 1000000")
    assert log.append([entry(1_000_000)]) == 1
    log.close()


def test_the_write_ahead_file_stays_small(tmp_path: Path) -> None:
    """Checkpoints run beside the appends, so a long load does not grow the file without bound."""
    path = tmp_path / "log.db"
    log = SqliteEventLog(path)
    for _ in range(200):
        log.append([entry(500_000)])
    assert log.end() == 200
    wal_bytes = path.with_name("log.db-wal").stat().st_size
    assert wal_bytes < 16 * checkpoint.STEP_BYTES
    log.close()
    assert SqliteEventLog(path).read(199, max_messages=1)[0].entry == entry(500_000)


def test_removed_space_is_used_again(tmp_path: Path) -> None:
    """A log that removes as much as it takes in does not grow."""
    log = SqliteEventLog(tmp_path / "log.db")
    for _ in range(6):
        log.append([entry(100_000) for _ in range(50)])
        log.retain(keep_from_offset=log.end(), older_than_ms=10**15, max_bytes=0)
    log.close()
    assert (tmp_path / "log.db").stat().st_size < 12_000_000
