"""Texts that repeat are stored once and meant by a number."""

import sqlite3
from typing import Final

_CACHED: Final = 250_000


class Dictionary:
    """Numbers for the texts of one table with columns `id` and `value`; belongs to the one writer."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._select = f"SELECT id FROM {table} WHERE value = ?"
        self._insert = f"INSERT INTO {table} (value) VALUES (?)"
        self._ids: dict[str, int] = {}

    def id_of(self, value: str) -> int:
        """The number of a text, given to it now if it is new."""
        found = self._ids.get(value)
        if found is None:
            row = self._connection.execute(self._select, (value,)).fetchone()
            found = self._connection.execute(self._insert, (value,)).lastrowid if row is None else row[0]
            assert found is not None
            if len(self._ids) >= _CACHED:
                self._ids.clear()
            self._ids[value] = found
        return found

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back."""
        self._ids.clear()


class IdentityDictionary:
    """Numbers for userIds and anonymousIds."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._ids: dict[tuple[int, str], int] = {}

    def id_of(self, kind: int, value: str) -> tuple[int, bool]:
        """(number, whether it was given just now)."""
        key = (kind, value)
        found = self._ids.get(key)
        if found is not None:
            return found, False
        row = self._connection.execute("SELECT id FROM identities WHERE kind = ? AND value = ?", key).fetchone()
        if len(self._ids) >= _CACHED:
            self._ids.clear()
        if row is not None:
            self._ids[key] = row[0]
            return row[0], False
        created = self._connection.execute("INSERT INTO identities (kind, value) VALUES (?, ?)", key).lastrowid
        assert created is not None
        self._ids[key] = created
        return created, True

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back."""
        self._ids.clear()
