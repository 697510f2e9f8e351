"""What the pages and the control API work with: the store, the log, the clock, and how the product is."""

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from starlette.requests import Request

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import EventLog
from gainsight_destination.store.database import Database
from gainsight_destination.workspace.edit import Editor
from gainsight_destination.workspace.secrets import Secrets

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class House:
    """Everything behind the private port. `reasons` say why the product is not well, `notes` what is worth knowing."""

    database: Database
    log: EventLog
    clock: Clock
    data_dir: Path
    reasons: Callable[[], Sequence[str]]
    notes: Callable[[], Sequence[str]]
    ingest_metrics: Callable[[], str]
    refresh_metrics: Callable[[], None]
    """Brings the gauges up to date; may block."""
    ingest_url: Callable[[], str]
    """Where SDKs send to."""
    stopping: Callable[[], bool] = bool
    """Whether the process is about to end, and so whoever waits for news should go."""
    hosts: Callable[[], Collection[str]] = frozenset
    """Names, beside those of loopback, under which the private port is reached."""

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def secrets(self) -> Secrets:
        """Read anew each time: the key may have been restored."""
        return Secrets.of(self.data_dir)

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read from one snapshot of the store."""
        return await self.database.read(read)

    async def write(self, write: Callable[[sqlite3.Connection], T]) -> T:
        """Write in one transaction."""
        return await self.database.write(write)

    async def edit(self, actor: str, seen_version: int | None, change: Callable[[Editor], T]) -> T:
        """Change the workspace in one transaction. Raises UserError; nothing is changed then."""
        secrets = self.secrets()

        def write(connection: sqlite3.Connection) -> T:
            return change(Editor(connection, secrets, actor, self.now_ms(), seen_version))

        return await self.database.write(write)


def house_of(request: Request) -> House:
    """What the application was made with."""
    house = request.app.state.house
    assert isinstance(house, House)
    return house
