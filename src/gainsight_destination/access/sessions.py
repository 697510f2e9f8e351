"""Sessions: who signed in, told by a cookie. They end by themselves, by signing out, and with the person."""

import sqlite3
from typing import Final, NamedTuple

from gainsight_destination.access.attempts import enter, forgive, held_back_ms
from gainsight_destination.access.people import Person, by_id
from gainsight_destination.access.secrets import digest_of, new_word

IDLE_MS: Final = 12 * 3_600_000
LONGEST_MS: Final = 7 * 86_400_000
NOTE_EVERY_MS: Final = 60_000
"""A session's last use is written down so often."""


class Session(NamedTuple):
    """A person who is signed in. `stale`: its use has to be noted."""

    person: Person
    digest: bytes
    stale: bool


class Held(NamedTuple):
    """Too many attempts failed: none is looked at for so long."""

    seconds: int


class Attempt(NamedTuple):
    """A sign-in that is looked at: the stored password, or None when there is none to compare with."""

    person_id: int | None
    password: str | None


def begin_sign_in(connection: sqlite3.Connection, *, email: str, address: str, now_ms: int) -> Attempt | Held:
    """Count the attempt, and say what the password has to be compared with.

    It is counted before it is looked at, so that many at once are not tried for the price of one; and it is looked at
    outside of the transaction, since that takes long.
    """
    account = email.strip().lower()
    if wait_ms := held_back_ms(connection, account=account, address=address, now_ms=now_ms):
        return Held(-(-wait_ms // 1000))
    enter(connection, account=account, address=address, now_ms=now_ms)
    row = connection.execute("SELECT id, password FROM people WHERE email = ? AND enabled", (account,)).fetchone()
    return Attempt(None, None) if row is None else Attempt(*row)


def end_sign_in(
    connection: sqlite3.Connection, attempt: Attempt, *, email: str, address: str, now_ms: int
) -> str | None:
    """The password was right: the word for the cookie. None if the person was shut out or changed it meanwhile."""
    row = connection.execute(
        "SELECT id FROM people WHERE id = ? AND password = ? AND enabled", (attempt.person_id, attempt.password)
    ).fetchone()
    if row is None:
        return None
    forgive(connection, account=email.strip().lower(), address=address)
    return open_session(connection, row[0], now_ms)


def open_session(connection: sqlite3.Connection, person_id: int, now_ms: int) -> str:
    """The word for the cookie of a new session. Those that are over are forgotten."""
    word = new_word()
    connection.execute(
        "DELETE FROM sessions WHERE seen_at_ms < ? OR created_at_ms < ?", (now_ms - IDLE_MS, now_ms - LONGEST_MS)
    )
    connection.execute("INSERT INTO sessions VALUES (?,?,?,?)", (digest_of(word), person_id, now_ms, now_ms))
    return word


def session_of(connection: sqlite3.Connection, word: str, now_ms: int) -> Session | None:
    """Who this cookie says it is, if that is still so."""
    digest = digest_of(word)
    row = connection.execute(
        "SELECT person_id, seen_at_ms FROM sessions WHERE digest = ? AND seen_at_ms >= ? AND created_at_ms >= ?",
        (digest, now_ms - IDLE_MS, now_ms - LONGEST_MS),
    ).fetchone()
    if row is None:
        return None
    person = by_id(connection, row[0])
    return Session(person, digest, now_ms - row[1] >= NOTE_EVERY_MS) if person.enabled else None


def note_use(connection: sqlite3.Connection, digest: bytes, now_ms: int) -> None:
    connection.execute("UPDATE sessions SET seen_at_ms = ? WHERE digest = ?", (now_ms, digest))


def sign_out(connection: sqlite3.Connection, word: str) -> None:
    connection.execute("DELETE FROM sessions WHERE digest = ?", (digest_of(word),))


def sign_out_everywhere(connection: sqlite3.Connection, person_id: int) -> None:
    connection.execute("DELETE FROM sessions WHERE person_id = ?", (person_id,))
