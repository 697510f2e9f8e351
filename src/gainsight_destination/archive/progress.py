"""Remembers how far each file was taken in, so that a second run goes on where the first one stopped."""

from collections.abc import Iterable
from pathlib import Path

from gainsight_destination.archive.files import ArchiveFile
from gainsight_destination.archive.lines import ArchiveLines, Position
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.store.migrate import migrate

MIGRATIONS = "gainsight_destination.archive.migrations"
PROGRESS_FILE = "imports.db"


class ImportProgress:
    """The progress of all imports into one source of a data directory."""

    def __init__(self, data_dir: Path, source_id: int) -> None:
        self._source_id = source_id
        self._connection = connect(data_dir / PROGRESS_FILE)
        migrate(self._connection, MIGRATIONS)

    def position_of(self, file: ArchiveFile) -> Position | None:
        """Where to go on; None when the file is in already. A file that has changed begins anew."""
        row = self._connection.execute(
            "SELECT lines, offset_bytes, complete FROM progress"
            " WHERE source_id = ? AND path = ? AND size_bytes = ? AND modified_ns = ?",
            (self._source_id, file.name, file.size_bytes, file.modified_ns),
        ).fetchone()
        if row is None or file.path is None:
            return Position()
        lines, offset_bytes, complete = row
        return None if complete else Position(lines, offset_bytes)

    def save(self, read: Iterable[ArchiveLines]) -> None:
        """Remember how far these files were read. Call it when everything up to there is durable."""
        rows = [
            (
                *(self._source_id, lines.file.name, lines.file.size_bytes, lines.file.modified_ns),
                *(lines.position.offset_bytes, lines.position.lines, lines.complete),
            )
            for lines in read
            if lines.file.path is not None
        ]
        with transaction(self._connection) as connection:
            connection.executemany("INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._connection.close()
