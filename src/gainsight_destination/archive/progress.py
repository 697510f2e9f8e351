"""Remembers how far each file was taken in, so that a second run goes on where the first one stopped."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.archive.lines import ArchiveLines, Position
from gainsight_destination.archive.window import Window
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate

MIGRATIONS: Final = "gainsight_destination.archive.migrations"
PROGRESS_FILE: Final = "imports.db"
IN_MEMORY: Final = Path(":memory:")


class ImportProgress:
    """The progress of all imports into one source, within one window, kept in one file."""

    def __init__(self, path: Path, source_id: int, window: Window) -> None:
        self._key = (source_id, window.since_ms, window.until_ms)
        self._connection = connect(path)
        migrate(self._connection, MIGRATIONS)

    def position_of(self, file: ArchiveFile) -> Position | None:
        """Where to go on; None when the file is in already. A file that has changed begins anew."""
        if file.version is None:
            return Position()
        source_id, since_ms, until_ms = self._key
        rows = self._connection.execute(
            "SELECT lines, offset_bytes, complete, since_ms = ? AND until_ms = ? FROM progress"
            " WHERE source_id = ? AND name = ? AND since_ms <= ? AND until_ms >= ? AND size_bytes = ? AND version = ?",
            (since_ms, until_ms, source_id, file.name, since_ms, until_ms, file.size_bytes, file.version),
        ).fetchall()
        if any(complete for _, _, complete, _ in rows):
            return None
        return next((Position(lines, offset_bytes) for lines, offset_bytes, _, same in rows if same), Position())

    def save(self, read: Iterable[ArchiveLines]) -> None:
        """Remember how far these files were read. Call it when everything up to there is durable."""
        source_id, since_ms, until_ms = self._key
        rows = [
            (
                *(source_id, lines.file.name, since_ms, until_ms, lines.file.size_bytes, lines.file.version),
                *(lines.position.offset_bytes, lines.position.lines, lines.complete),
            )
            for lines in read
            if lines.file.version is not None
        ]
        with transaction(self._connection) as connection:
            connection.executemany("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._connection.close()
