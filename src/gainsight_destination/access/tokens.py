"""API tokens: for programs that use the control API. Shown once, stored as digests."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from gainsight_destination.access.people import checked_name
from gainsight_destination.access.roles import Role
from gainsight_destination.access.secrets import digest_of, new_word

PREFIX: Final = "gd_"
NOTE_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without what opens anything."""

    id: int
    name: str
    role: Role
    made_by: str
    created_at_ms: int
    expires_at_ms: int | None
    used_at_ms: int | None

    def is_stale(self, now_ms: int) -> bool:
        """Whether its use has to be noted."""
        return self.used_at_ms is None or now_ms - self.used_at_ms >= NOTE_EVERY_MS


_SELECT = "SELECT id, name, role, made_by, created_at_ms, expires_at_ms, used_at_ms FROM tokens"


def _token(row: tuple[int, str, str, str, int, int | None, int | None]) -> Token:
    return Token(row[0], row[1], Role(row[2]), *row[3:])


def all_tokens(connection: sqlite3.Connection) -> list[Token]:
    return [_token(row) for row in connection.execute(f"{_SELECT} ORDER BY id")]


def make_token(
    connection: sqlite3.Connection, *, name: str, role: Role, made_by: str, expires_at_ms: int | None, now_ms: int
) -> tuple[Token, str]:
    """A new token and its text, which is nowhere afterwards. Raises UserError."""
    text = PREFIX + new_word()
    (token_id,) = connection.execute(
        "INSERT INTO tokens (name, digest, role, made_by, created_at_ms, expires_at_ms) VALUES (?,?,?,?,?,?)"
        " RETURNING id",
        (checked_name(name), digest_of(text), role, made_by, now_ms, expires_at_ms),
    ).fetchone()
    return _token(connection.execute(f"{_SELECT} WHERE id = ?", (token_id,)).fetchone()), text


def token_of(connection: sqlite3.Connection, text: str, now_ms: int) -> Token | None:
    """The token that this is, if it is good."""
    row = connection.execute(
        f"{_SELECT} WHERE digest = ? AND (expires_at_ms IS NULL OR expires_at_ms > ?)", (digest_of(text), now_ms)
    ).fetchone()
    return None if row is None else _token(row)


def note_use(connection: sqlite3.Connection, token_id: int, now_ms: int) -> None:
    connection.execute("UPDATE tokens SET used_at_ms = ? WHERE id = ?", (now_ms, token_id))


def revoke(connection: sqlite3.Connection, token_id: int) -> str | None:
    """End it; its name, or None when there is none."""
    row = connection.execute("DELETE FROM tokens WHERE id = ? RETURNING name", (token_id,)).fetchone()
    return None if row is None else str(row[0])
