"""The one writer of a SQLite file: what fails leaves nothing behind, neither in the store nor in memory."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gainsight_destination.store.database import Database


@pytest.mark.parametrize("fails_at", ["the write", "the commit"])
def test_memory_is_put_right_before_the_next_write(tmp_path: Path, fails_at: str) -> None:
    """A write that waits behind one that is undone does not see what that one remembered."""
    known: list[str] = []
    waits = threading.Event()

    def remember(connection: sqlite3.Connection) -> None:
        known.append("ahead of the store")
        waits.wait(10)
        if fails_at == "the write":
            raise ValueError(fails_at)
        connection.execute("INSERT INTO child VALUES (7)")

    with closing(Database(tmp_path / "state.db")) as database:
        database.submit(lambda connection: connection.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")).result()
        create = "CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)"
        database.submit(lambda connection: connection.execute(create)).result()
        fails = database.submit(remember, undone=known.clear)
        next_one = database.submit(lambda _: list(known))
        waits.set()
        with pytest.raises((ValueError, sqlite3.IntegrityError)):
            fails.result()
        assert next_one.result() == []
        assert database.submit(lambda c: c.execute("SELECT count(*) FROM child").fetchone()).result() == (0,)
