"""The fence: of all processes that ever had charge of a state, only the last can change it.

The lock of runtime/lock.py keeps a second engine from starting. It is the operating system's, and there are ways around
it: its file is removed, the directory is shared between machines that do not share locks. Then the later engine takes
the next term here, and each transaction of the earlier one fails. Since a call to a destination is entered in the
ledger first, in a transaction, the earlier one calls nobody any more, and its quota is spent by nobody twice.
"""

import sqlite3

from gainsight_destination.errors import StoppedError


class FencedError(StoppedError):
    """Another process has taken charge of this state."""


def take_charge(connection: sqlite3.Connection) -> int:
    """The next term, which ends all earlier ones; part of the caller's transaction."""
    (term,) = connection.execute("UPDATE reader SET term = term + 1 RETURNING term").fetchone()
    return int(term)


def check_term(connection: sqlite3.Connection, term: int) -> None:
    """Raise FencedError when a later term has begun; part of the caller's transaction."""
    (current,) = connection.execute("SELECT term FROM reader").fetchone()
    if current != term:
        raise FencedError(
            "another gainsight-destination has taken charge of this data directory; this one delivers nothing any more."
            " Run one at a time, and do not remove its .lock files"
        )
