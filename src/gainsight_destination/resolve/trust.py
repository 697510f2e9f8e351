"""Sources of limited trust: which are in force, and whose earlier messages are to be resolved again since they changed.

A source of limited trust is not believed about the account of a user of whom a source of full trust ever said one: the
user is *placed*. Trust is what the workspace says now, also of facts that were learned long ago. So when it changes,
what may still move is looked at once more, in chunks; `reviews` remembers how far that came.
"""

import sqlite3
from collections.abc import Set
from typing import Final

UNTRUSTED_ACCOUNT: Final = "untrusted_account"
"""A group call of a source of limited trust names another account than the one in force for its placed user."""

UNTRUSTED_ACCOUNT_IGNORED: Final = "untrusted_account_ignored"


def limited_sources(connection: sqlite3.Connection) -> frozenset[int]:
    """The sources of limited trust in force."""
    return frozenset(source_id for (source_id,) in connection.execute("SELECT source_id FROM limited_sources"))


def put_in_force(connection: sqlite3.Connection, limited: Set[int]) -> None:
    """From now on these sources have limited trust, and no others; part of the caller's transaction."""
    if limited_sources(connection) == limited:
        return
    connection.execute("DELETE FROM limited_sources")
    connection.executemany("INSERT INTO limited_sources (source_id) VALUES (?)", [(id_,) for id_ in sorted(limited)])
    connection.execute(
        "INSERT INTO reviews (destination_id, after_offset) SELECT id, -1 FROM destinations WHERE true"
        " ON CONFLICT DO UPDATE SET after_offset = -1"
    )


def review_after(connection: sqlite3.Connection, destination_id: int) -> int | None:
    """The offset after which messages of a destination are to be resolved again; None: none are."""
    row = connection.execute("SELECT after_offset FROM reviews WHERE destination_id = ?", (destination_id,)).fetchone()
    return None if row is None else int(row[0])


def reviewed(connection: sqlite3.Connection, destination_id: int, go_on_after: int | None) -> None:
    """Remember how far a destination's messages are resolved again; None: to the end."""
    if go_on_after is None:
        connection.execute("DELETE FROM reviews WHERE destination_id = ?", (destination_id,))
    else:
        connection.execute(
            "UPDATE reviews SET after_offset = ? WHERE destination_id = ?", (go_on_after, destination_id)
        )
