"""Counted remarks: nothing is wrong, and somebody may care. Bounded, whatever the messages name."""

import sqlite3
from collections.abc import Mapping
from typing import Final

SUBJECTS: Final = 200
OTHERS: Final = "others"


def note(
    connection: sqlite3.Connection,
    destination_id: int,
    times: Mapping[tuple[str, str], int],
    offsets: Mapping[tuple[str, str], int] | None = None,
) -> None:
    """Count remarks by (kind, subject); beyond SUBJECTS of a kind they count under OTHERS."""
    for (kind, subject), count in times.items():
        offset = (offsets or {}).get((kind, subject))
        known = connection.execute(
            "UPDATE notices SET times = times + ?, last_offset = coalesce(?, last_offset)"
            " WHERE destination_id = ? AND kind = ? AND subject = ?",
            (count, offset, destination_id, kind, subject),
        ).rowcount
        if known:
            continue
        (subjects,) = connection.execute(
            "SELECT count(*) FROM notices WHERE destination_id = ? AND kind = ?", (destination_id, kind)
        ).fetchone()
        connection.execute(
            "INSERT INTO notices (destination_id, kind, subject, times, last_offset) VALUES (?,?,?,?,?)"
            " ON CONFLICT DO UPDATE SET times = times + excluded.times, last_offset = excluded.last_offset",
            (destination_id, kind, subject if subjects < SUBJECTS else OTHERS, count, offset),
        )
