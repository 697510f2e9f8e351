"""One-time links: to make the first person, and for a person to choose a password."""

import sqlite3
from typing import Final

from gainsight_destination.access.people import Person, add_person, by_id, is_anybody, set_password
from gainsight_destination.access.roles import Role
from gainsight_destination.access.secrets import digest_of, new_word
from gainsight_destination.errors import UserError

GOOD_FOR_MS: Final = 24 * 3_600_000
OVER: Final = "this link was used already, or it is older than a day; ask for a new one"


def setup_link(connection: sqlite3.Connection, now_ms: int) -> str | None:
    """The word of a new set-up link, which ends those before it; None when somebody is there already."""
    if is_anybody(connection):
        return None
    connection.execute("DELETE FROM access_links WHERE person_id IS NULL")
    return _make(connection, None, now_ms)


def password_link(connection: sqlite3.Connection, person_id: int, now_ms: int) -> str:
    """The word of a link by which a person chooses a new password; ends those before it."""
    connection.execute("DELETE FROM access_links WHERE person_id = ?", (person_id,))
    return _make(connection, by_id(connection, person_id).id, now_ms)


def _make(connection: sqlite3.Connection, person_id: int | None, now_ms: int) -> str:
    word = new_word()
    connection.execute("INSERT INTO access_links VALUES (?,?,?)", (digest_of(word), person_id, now_ms + GOOD_FOR_MS))
    return word


def is_good_for_setup(connection: sqlite3.Connection, word: str, now_ms: int) -> bool:
    row = connection.execute(
        "SELECT 1 FROM access_links WHERE digest = ? AND person_id IS NULL AND expires_at_ms > ?",
        (digest_of(word), now_ms),
    ).fetchone()
    return row is not None and not is_anybody(connection)


def person_of(connection: sqlite3.Connection, word: str, now_ms: int) -> Person | None:
    """Whose password this link sets."""
    row = connection.execute(
        "SELECT person_id FROM access_links WHERE digest = ? AND person_id IS NOT NULL AND expires_at_ms > ?",
        (digest_of(word), now_ms),
    ).fetchone()
    return None if row is None else by_id(connection, row[0])


def set_up(connection: sqlite3.Connection, word: str, *, email: str, name: str, password: str, now_ms: int) -> Person:
    """Make the first person, an admin. Raises UserError."""
    if not is_good_for_setup(connection, word, now_ms):
        raise UserError(OVER)
    person = add_person(connection, email=email, name=name, role=Role.ADMIN, password=password, now_ms=now_ms)
    connection.execute("DELETE FROM access_links WHERE person_id IS NULL")
    return person


def choose_password(connection: sqlite3.Connection, word: str, password: str, now_ms: int) -> Person:
    """Raises UserError."""
    person = person_of(connection, word, now_ms)
    if person is None or not person.enabled:
        raise UserError(OVER)
    set_password(connection, person.id, password)
    connection.execute("DELETE FROM access_links WHERE person_id = ?", (person.id,))
    return person
