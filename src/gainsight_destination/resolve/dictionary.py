"""Texts that repeat are stored once and meant by a number."""

import json
import sqlite3
from collections.abc import Mapping, Set
from typing import Final

_CACHED: Final = 250_000

NUL: Final = "\0"
"""SQLite's json_each ends a text there (seen in 3.40)."""


class Dictionary:
    """Numbers for the texts of one table with columns `id` and `value`; belongs to the one writer."""

    def __init__(self, connection: sqlite3.Connection, table: str) -> None:
        self._connection = connection
        self._select = f"SELECT id FROM {table} WHERE value = ?"
        self._insert = f"INSERT INTO {table} (value) VALUES (?)"
        self._ids: dict[str, int] = {}
        self._select_value = f"SELECT value FROM {table} WHERE id = ?"
        self._values: dict[int, str] = {}

    def value_of(self, number: int) -> str:
        """The text of a number that was given."""
        found = self._values.get(number)
        if found is None:
            (found,) = self._connection.execute(self._select_value, (number,)).fetchone()
            if len(self._values) >= _CACHED:
                self._values.clear()
            self._values[number] = found
        return found

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
        self._values.clear()


class IdentityDictionary:
    """Numbers for userIds or for anonymousIds; belongs to the one writer."""

    def __init__(self, connection: sqlite3.Connection, kind: int) -> None:
        self._connection = connection
        self._kind = kind
        self._ids: dict[str, int] = {}

    def ids_of(self, values: Set[str]) -> tuple[Mapping[str, int], list[int]]:
        """(the numbers of at least these texts, the numbers given just now)."""
        if len(self._ids) >= _CACHED:
            self._ids.clear()
        unknown = sorted(values - self._ids.keys())
        if not unknown:
            return self._ids, []
        self._ids.update(
            self._connection.execute(
                "SELECT value, id FROM identities WHERE kind = ? AND value IN (SELECT value FROM json_each(?))",
                (self._kind, json.dumps([value for value in unknown if NUL not in value])),
            )
        )
        for value in (value for value in unknown if NUL in value):
            self._ids.update(
                self._connection.execute(
                    "SELECT value, id FROM identities WHERE kind = ? AND value = ?", (self._kind, value)
                )
            )
        new = [value for value in unknown if value not in self._ids]
        (highest,) = self._connection.execute("SELECT coalesce(max(id), 0) FROM identities").fetchone()
        created = dict(zip(new, range(highest + 1, highest + 1 + len(new)), strict=True))
        self._connection.executemany(
            "INSERT INTO identities (id, kind, value) VALUES (?, ?, ?)",
            [(number, self._kind, value) for value, number in created.items()],
        )
        self._ids |= created
        return self._ids, list(created.values())

    def forget(self) -> None:
        """Drop everything remembered: a transaction was rolled back."""
        self._ids.clear()
