"""What a person corrected about records: a value for a field, or that nothing is sent for it.

A correction is a statement of the operator, dated when it was made. Values of messages with a later date count again;
those with an earlier date do not, whenever they come. It stays with the record when that is computed anew.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from gainsight_destination.destinations.contract import Correction


def correct(connection: sqlite3.Connection, record_id: int, corrections: Mapping[str, Correction]) -> None:
    """Keep corrections by field; a newer one of a field takes the place of the one before."""
    connection.executemany(
        "INSERT OR REPLACE INTO corrections (record_id, field, at_ms, value) VALUES (?,?,?,?)",
        [
            (record_id, field, one.at_ms, None if one.unset else json.dumps(one.value, ensure_ascii=False))
            for field, one in corrections.items()
        ],
    )


def of_record(connection: sqlite3.Connection, record_id: int) -> dict[str, Correction]:
    """The corrections of a record by field."""
    rows = connection.execute(
        "SELECT field, at_ms, value FROM corrections WHERE record_id = ? ORDER BY field", (record_id,)
    )
    return {
        field: Correction(at_ms, None if value is None else json.loads(value), unset=value is None)
        for field, at_ms, value in rows
    }


def forget(connection: sqlite3.Connection, record_id: int | None) -> None:
    """A record goes: so does what was corrected about it, and how it was refused."""
    connection.execute("DELETE FROM corrections WHERE record_id = ?", (record_id,))
    connection.execute("DELETE FROM refusals WHERE record_id = ?", (record_id,))


def take_back(connection: sqlite3.Connection, record_id: int) -> list[str]:
    """End what is corrected in a record; the fields."""
    found = connection.execute("DELETE FROM corrections WHERE record_id = ? RETURNING field", (record_id,)).fetchall()
    return sorted(field for (field,) in found)


def as_told(corrections: Mapping[str, Correction]) -> dict[str, Any]:
    """For people: field -> value, or that it is unset."""
    return {field: "(unset)" if one.unset else one.value for field, one in corrections.items()}
