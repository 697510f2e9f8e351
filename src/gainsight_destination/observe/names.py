"""What people call sources and destinations."""

import sqlite3
from collections.abc import Mapping
from typing import NamedTuple


class Names(NamedTuple):
    """Names by id. What was removed from the configuration goes by its id."""

    sources: Mapping[int, str]
    destinations: Mapping[int, str]

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> "Names":
        return cls(
            dict(connection.execute("SELECT id, name FROM sources")),
            dict(connection.execute("SELECT id, name FROM destinations")),
        )

    def source(self, source_id: int) -> str:
        return self.sources.get(source_id, str(source_id))

    def destination(self, destination_id: int) -> str:
        return self.destinations.get(destination_id, str(destination_id))
