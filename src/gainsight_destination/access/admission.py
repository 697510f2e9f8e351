"""What admins do at the door, from the console, the control API and the command line; each becomes an act."""

import sqlite3

from gainsight_destination.access import people, tokens
from gainsight_destination.access.acts import record_act
from gainsight_destination.access.links import password_link
from gainsight_destination.access.people import Person
from gainsight_destination.access.roles import Role
from gainsight_destination.access.tokens import Token
from gainsight_destination.errors import UserError


def let_in(
    connection: sqlite3.Connection, *, actor: str, email: str, name: str, role: Role, now_ms: int
) -> tuple[Person, str]:
    """A new person, and the word of the link by which they choose a password. Raises UserError."""
    person = people.add_person(connection, email=email, name=name, role=role, password=None, now_ms=now_ms)
    record_act(connection, actor=actor, what=f"let {person.email} in as {person.role}", now_ms=now_ms)
    return person, password_link(connection, person.id, now_ms)


def new_link(connection: sqlite3.Connection, person_id: int, *, actor: str, now_ms: int) -> tuple[Person, str]:
    """The word of another link, for who lost theirs or forgot the password. Raises UserError."""
    person = people.by_id(connection, person_id)
    if not person.enabled:
        raise UserError(f"{person.email} is shut out; let them in again first")
    record_act(connection, actor=actor, what=f"made a password link for {person.email}", now_ms=now_ms)
    return person, password_link(connection, person_id, now_ms)


def change(
    connection: sqlite3.Connection, person_id: int, *, actor: str, role: Role, enabled: bool, now_ms: int
) -> Person:
    """What a person may do; who is shut out is signed out. Raises UserError."""
    before = people.by_id(connection, person_id)
    person = people.change_person(connection, person_id, role=role, enabled=enabled)
    if person.enabled != before.enabled:
        what = f"let {person.email} in again" if enabled else f"shut {person.email} out"
        record_act(connection, actor=actor, what=what, now_ms=now_ms)
    if person.role is not before.role:
        record_act(connection, actor=actor, what=f"made {person.email} {person.role}", now_ms=now_ms)
    return person


def make_token(
    connection: sqlite3.Connection, *, actor: str, name: str, role: Role, expires_at_ms: int | None, now_ms: int
) -> tuple[Token, str]:
    """A token and its text, which is nowhere afterwards. Raises UserError."""
    made, text = tokens.make_token(
        connection, name=name, role=role, made_by=actor, expires_at_ms=expires_at_ms, now_ms=now_ms
    )
    record_act(connection, actor=actor, what=f'made token "{made.name}" as {made.role}', now_ms=now_ms)
    return made, text


def revoke_token(connection: sqlite3.Connection, token_id: int, *, actor: str, now_ms: int) -> str | None:
    """End a token; its name, or None when there is none."""
    name = tokens.revoke(connection, token_id)
    if name is not None:
        record_act(connection, actor=actor, what=f'revoked token "{name}"', now_ms=now_ms)
    return name
