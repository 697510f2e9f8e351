"""Opens the data directory for commands that read it, with or without a running server."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.registry import build
from gainsight_destination.errors import UserError
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.store.database import connect
from gainsight_destination.workspace.model import Destination, Source, Trust
from gainsight_destination.workspace.secrets import Secrets
from gainsight_destination.workspace.service import load


@dataclass(frozen=True, slots=True)
class OpenData:
    """One read snapshot of the state, and the event log."""

    directory: Path
    state: sqlite3.Connection
    log: SqliteEventLog

    def destinations(self) -> tuple[Destination, ...]:
        """The configured destinations, secrets included."""
        return load(self.state, Secrets.of(self.directory)).destinations

    def destination(self, name: str | None, *, only_type: str | None = None) -> Destination:
        """The destination of this name, or the only one there is, of a type if one is given. Raises UserError."""
        found = self.destinations()
        if name is None and only_type is not None:
            found = tuple(destination for destination in found if destination.type == only_type)
        names = ", ".join(destination.name for destination in found) or "none is configured"
        if name is None:
            if len(found) == 1:
                return found[0]
            raise UserError(f"say which destination with --destination NAME (there are: {names})")
        for destination in found:
            if destination.name == name:
                return destination
        raise UserError(f"there is no destination {name!r} (there are: {names})")

    def source(self, name: str) -> Source:
        """The source of this name. Raises UserError."""
        found = load(self.state, Secrets.of(self.directory)).sources
        for source in found:
            if source.name == name:
                return source
        names = ", ".join(source.name for source in found) or "none is configured"
        raise UserError(f"there is no source {name!r} (there are: {names})")

    def limited(self) -> frozenset[int]:
        """The sources of limited trust, as the resolver sees them."""
        sources = load(self.state, Secrets.of(self.directory)).sources
        return frozenset(source.id for source in sources if source.trust is Trust.LIMITED)

    def connected(self) -> list[Connected]:
        """The enabled destinations as the resolver sees them."""
        return [
            Connected(d.id, d.name, d.source_ids, build(d.type, d.settings), frozenset(d.consent_categories))
            for d in self.destinations()
            if d.enabled
        ]


def state_path(directory: Path) -> Path:
    """The state file. Raises UserError when there is none."""
    if directory.is_file():
        raise UserError(f"{directory} is a file; name a directory with --data")
    path = directory / "state.db"
    if not path.exists():
        raise UserError(
            f"there is no data in {shown(directory)}; start `gainsight-destination serve` there once, "
            "or name another directory with --data"
        )
    return path


def shown(directory: Path) -> Path | str:
    """A directory as it is told: a bare name as `./name`, so that it reads as one."""
    return directory if directory.is_absolute() or ".." in directory.parts else f"./{directory}"


@contextmanager
def open_data(directory: Path) -> Iterator[OpenData]:
    """Open for reading; everything read is of one instant. Raises UserError when there is nothing to read."""
    with (
        closing(connect(state_path(directory), read_only=True)) as state,
        closing(SqliteEventLog(directory / "log.db", read_only=True)) as log,
    ):
        state.execute("BEGIN")
        yield OpenData(directory, state, log)
