"""A store that 0.1.0 wrote is brought up to date without forgetting what it knew."""

import sqlite3
from contextlib import closing
from hashlib import blake2b
from importlib.resources import files
from pathlib import Path

from tests.support.pipeline import NOW_MS, Pipeline, at, track

from gainsight_destination.eventlog.backlog import count_read_bytes, read_bytes, unread_bytes
from gainsight_destination.eventlog.contract import Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.resolve.duplicates import digest_of
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate, statements


def store_of_0_1_0(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for file in sorted(files("gainsight_destination.store.migrations").iterdir(), key=lambda file: file.name):
        if file.name < "0005" and file.name.endswith(".sql"):
            for statement in statements(file.read_text("utf-8")):
                connection.execute(statement)
    connection.execute("PRAGMA user_version = 4")
    return connection


def test_what_was_seen_is_still_known(tmp_path: Path) -> None:
    """Message ids of before the upgrade count as duplicates after it."""
    ids = [f"m{n}" for n in range(200)]
    old = store_of_0_1_0(tmp_path / "state.db")
    old.execute("INSERT INTO routes VALUES (1, '{}')")
    old.executemany(
        "INSERT INTO messages (offset, id_digest, received_at_ms, route) VALUES (?,?,?,1)",
        [(n, blake2b(name.encode(), digest_size=16).digest(), NOW_MS) for n, name in enumerate(ids)],
    )
    old.close()
    pipeline = Pipeline(tmp_path)
    assert dict(pipeline.query("SELECT digest, offset FROM seen")) == {digest_of(m): n for n, m in enumerate(ids)}
    pipeline.close()


def test_deliveries_and_records_belong_together_as_before(tmp_path: Path) -> None:
    """A delivery of before finds its own record; a record that no message owns is gone."""
    old = store_of_0_1_0(tmp_path / "state.db")
    old.execute(
        "INSERT INTO deliveries (destination_id, offset, source_id, type, message_id, identity_id, at_ms,"
        " received_at_ms, user_id, state) VALUES (1, 7, 1, 'track', 'm7', 1, 5, 6, 1, 'delivered')"
    )
    old.executemany(
        "INSERT INTO records (id, destination_id, object, key, state, dirty_since_ms, due_at_ms, presence)"
        " VALUES (?, 1, ?, ?, 'clean', 0, 0, 'present')",
        [(10, "event", "7"), (11, "event", "8"), (12, "usage", "1/1/1/1")],
    )
    old.close()
    pipeline = Pipeline(tmp_path)
    assert pipeline.query("SELECT id - (1 << 44), own_record FROM deliveries") == [(7, 10)]
    assert pipeline.query("SELECT id, shared FROM records ORDER BY id") == [(10, 0), (12, 1)]
    pipeline.close()


def test_account_facts_know_their_source(tmp_path: Path) -> None:
    """As far as the message is still there: so a source that gets limited trust later loses what it said before."""
    old = store_of_0_1_0(tmp_path / "state.db")
    old.execute(
        "INSERT INTO deliveries (destination_id, offset, source_id, type, message_id, identity_id, at_ms,"
        " received_at_ms, user_id, state) VALUES (1, 7, 2, 'group', 'm7', 1, 5, 6, 1, 'delivered')"
    )
    old.executemany("INSERT INTO account_facts VALUES (1, 5, ?, 'groupId', 1)", [("m7",), ("m8",)])
    old.close()
    pipeline = Pipeline(tmp_path)
    assert pipeline.query("SELECT message_id, source_id FROM account_facts") == [("m7", 2), ("m8", 0)]
    pipeline.close()


def test_an_upgraded_store_goes_on(tmp_path: Path) -> None:
    """A message after the upgrade is resolved."""
    store_of_0_1_0(tmp_path / "state.db").close()
    pipeline = Pipeline(tmp_path)
    pipeline.send(track("u1", messageId="t1", timestamp=at(-1), properties={"accountId": "acme"}))
    pipeline.resolve()
    assert pipeline.books()["pending"] == 1
    pipeline.close()


def test_what_was_read_before_is_counted_in_bytes(tmp_path: Path) -> None:
    """0.1.0 knew how many messages it had read, not how many bytes; they are counted once, so the backlog is true."""
    with closing(SqliteEventLog(tmp_path / "log.db")) as log:
        log.append([Entry(source, EntryKind.TRACK, 0, 1, b"x" * size) for source, size in ((1, 5), (2, 7), (1, 11))])
        with closing(store_of_0_1_0(tmp_path / "state.db")) as old:
            old.execute("INSERT INTO read_messages (source_id, messages) VALUES (1, 1), (2, 1)")
            old.execute("UPDATE reader SET next_offset = 2")
        with closing(connect(tmp_path / "state.db")) as state:
            migrate(state, "gainsight_destination.store.migrations")
            for _ in range(2):
                with transaction(state):
                    count_read_bytes(state, log)
                assert read_bytes(state) == {1: 5, 2: 7}
                assert unread_bytes(read_bytes(state), log) == {1: 11}
