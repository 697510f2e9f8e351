"""The one writer of a SQLite file: what fails leaves nothing behind, neither in the store nor in memory."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from gainsight_destination.store.database import Database, connect
from gainsight_destination.store.fence import FencedError
from gainsight_destination.store.migrate import migrate


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


def test_the_later_process_takes_charge(tmp_path: Path) -> None:
    """A process that another has taken over from changes nothing any more; who never took charge is not concerned."""
    path = tmp_path / "state.db"
    with closing(connect(path)) as connection:
        migrate(connection, "gainsight_destination.store.migrations")
    mark = "UPDATE workspace SET version = version + 1"
    with closing(Database(path)) as first, closing(Database(path)) as second, closing(Database(path)) as command:
        first.take_charge()
        first.submit(lambda connection: connection.execute(mark)).result()
        second.take_charge()
        undone: list[str] = []
        refused = first.submit(lambda connection: connection.execute(mark), undone=lambda: undone.append("memory"))
        with pytest.raises(FencedError, match="another gainsight-destination has taken charge"):
            refused.result()
        assert undone == ["memory"]
        second.submit(lambda connection: connection.execute(mark)).result()
        command.submit(lambda connection: connection.execute(mark)).result()
        assert second.reader().execute("SELECT version FROM workspace").fetchone() == (3,)
