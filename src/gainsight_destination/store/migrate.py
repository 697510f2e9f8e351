"""Brings a SQLite file to the schema this code needs, by numbered SQL files.

Each `NNNN_name.sql` runs once, together with its record, in one transaction. A file that a newer version of the
product wrote is refused rather than guessed at. See docs/adr/0006-migrations.md.
"""

import sqlite3
from importlib.resources import files

from gainsight_destination.errors import StoppedError
from gainsight_destination.store.database import transaction


def migrate(connection: sqlite3.Connection, package: str) -> int:
    """Apply the missing SQL files of `package`, in order; return the schema version reached.

    Raises StoppedError when the file's schema is newer than the code.
    """
    scripts = sorted(
        (int(file.name.split("_", 1)[0]), file) for file in files(package).iterdir() if file.name.endswith(".sql")
    )
    known = scripts[-1][0] if scripts else 0
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > known:
            raise StoppedError(
                f"the data directory was written by a newer version (schema {version}, this code knows {known}); "
                "upgrade gainsight-destination, or use another --data directory"
            )
        for number, file in scripts:
            if number > version:
                for statement in statements(file.read_text("utf-8")):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {number}")
    return max(known, int(version))


def statements(script: str) -> list[str]:
    """The statements of a SQL script, each complete."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending.strip())
            pending = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in pending.splitlines()):
        raise ValueError(f"incomplete SQL statement: {pending.strip()[:80]}")
    return found
