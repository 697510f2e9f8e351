"""People who use the console: who they are and what they may do. The last admin cannot be lost."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from gainsight_destination.access.passwords import hashed
from gainsight_destination.access.roles import Role
from gainsight_destination.errors import UserError
from gainsight_destination.events.emails import normalise_email

LONGEST_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may sign in."""

    id: int
    email: str
    name: str
    role: Role
    enabled: bool
    has_password: bool
    created_at_ms: int
    seen_at_ms: int | None
    """When a session of theirs was last used."""


_SELECT = (
    "SELECT id, email, name, role, enabled, password IS NOT NULL, created_at_ms,"
    " (SELECT max(seen_at_ms) FROM sessions WHERE person_id = people.id) FROM people"
)


def _person(row: tuple[int, str, str, str, int, int, int, int | None]) -> Person:
    id_, email, name, role, enabled, has_password, created_at_ms, seen_at_ms = row
    return Person(id_, email, name, Role(role), bool(enabled), bool(has_password), created_at_ms, seen_at_ms)


def everybody(connection: sqlite3.Connection) -> list[Person]:
    """All of them, by name."""
    return [_person(row) for row in connection.execute(f"{_SELECT} ORDER BY name COLLATE NOCASE, id")]


def is_anybody(connection: sqlite3.Connection) -> bool:
    """Whether somebody can sign in at all."""
    return connection.execute("SELECT 1 FROM people LIMIT 1").fetchone() is not None


def by_id(connection: sqlite3.Connection, person_id: int) -> Person:
    """Raises UserError when there is no such person."""
    row = connection.execute(f"{_SELECT} WHERE id = ?", (person_id,)).fetchone()
    if row is None:
        raise UserError("there is no such person any more")
    return _person(row)


def by_email(connection: sqlite3.Connection, email: str) -> Person | None:
    row = connection.execute(f"{_SELECT} WHERE email = ?", (email.strip().lower(),)).fetchone()
    return None if row is None else _person(row)


def add_person(
    connection: sqlite3.Connection, *, email: str, name: str, role: Role, password: str | None, now_ms: int
) -> Person:
    """A new person. Without a password they need a link (links.py). Raises UserError."""
    address = normalise_email(email)
    if address is None:
        raise UserError("that is not an e-mail address")
    if by_email(connection, address) is not None:
        raise UserError("somebody has that e-mail address already")
    (person_id,) = connection.execute(
        "INSERT INTO people (email, name, role, password, created_at_ms) VALUES (?,?,?,?,?) RETURNING id",
        (address, checked_name(name), role, None if password is None else hashed(password), now_ms),
    ).fetchone()
    return by_id(connection, person_id)


def checked_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not 1 <= len(cleaned) <= LONGEST_NAME:
        raise UserError(f"a name has 1 to {LONGEST_NAME} characters")
    return cleaned


def change_person(connection: sqlite3.Connection, person_id: int, *, role: Role, enabled: bool) -> Person:
    """What they may do; tokens that they made and that may do more end. Raises UserError if no admin would be left."""
    person = by_id(connection, person_id)
    everyone = everybody(connection)
    admins = {each.id for each in everyone if each.role is Role.ADMIN and each.enabled and each.has_password}
    if admins == {person.id} and not (enabled and role is Role.ADMIN):
        raise UserError(f"{person.name} is the only admin; make somebody else one first")
    connection.execute("UPDATE people SET role = ?, enabled = ? WHERE id = ?", (role, int(enabled), person_id))
    beyond = [each.value for each in Role if not enabled or not role.may(each)]
    connection.executemany(
        "DELETE FROM tokens WHERE made_by = ? AND role = ?", [(person.email, lost) for lost in beyond]
    )
    if not enabled:
        connection.execute("DELETE FROM sessions WHERE person_id = ?", (person_id,))
        connection.execute("DELETE FROM access_links WHERE person_id = ?", (person_id,))
    return by_id(connection, person_id)


def set_password(connection: sqlite3.Connection, person_id: int, password: str) -> None:
    """A new password signs the person out everywhere. Raises UserError."""
    connection.execute("UPDATE people SET password = ? WHERE id = ?", (hashed(password), person_id))
    connection.execute("DELETE FROM sessions WHERE person_id = ?", (person_id,))
