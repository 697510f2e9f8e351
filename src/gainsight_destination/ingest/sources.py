"""Which source a write key belongs to, as the public port sees it: a snapshot in memory, never a query."""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Protocol

import structlog

from gainsight_destination.clock import Clock
from gainsight_destination.errors import UnavailableError
from gainsight_destination.ingest.answers import RefusedRequestError
from gainsight_destination.store.database import connect
from gainsight_destination.workspace.model import Source

REFRESH_SECONDS = 0.5
WEBHOOK_WRITE_KEY = "This write key belongs to a webhook source; it is good for /v1/webhook/ only"

logger = structlog.get_logger(__name__)


class SourceDirectory(Protocol):
    """Who may write."""

    def source_of(self, write_key: str) -> Source | None:
        """The source of this write key, or None. Raises UnavailableError while that cannot be known.

        Raises RefusedRequestError for the write key of a webhook source: without its signature it opens nothing.
        """
        ...

    def webhook_source_of(self, write_key: str) -> Source | None:
        """The webhook source of this write key, or None. Raises UnavailableError while that cannot be known."""
        ...


class StoredSources:
    """The sources of `state.db`. `watch` follows changes; a database that cannot be read keeps the last known."""

    def __init__(
        self, state_path: Path, *, clock: Clock, read_sources: Callable[[sqlite3.Connection], Iterable[Source]]
    ) -> None:
        self._state_path = state_path
        self._read_sources = read_sources
        self._clock = clock
        self._version: int | None = None
        self._by_write_key: Mapping[str, Source] = {}
        self._webhooks: Mapping[str, Source] = {}
        self.failure: str | None = "the configuration was not read yet"
        self._retire_at_ms: int | None = None
        self.unreadable: tuple[str, ...] = ()
        """Names of webhook sources whose secrets do not open: nothing that comes for them can be checked."""

    def source_of(self, write_key: str) -> Source | None:
        if self._version is None:
            raise UnavailableError("the configuration was not read yet")
        source = self._by_write_key.get(write_key)
        if source is None and write_key in self._webhooks:
            raise RefusedRequestError(WEBHOOK_WRITE_KEY)
        return source

    def webhook_source_of(self, write_key: str) -> Source | None:
        if self._version is None:
            raise UnavailableError("the configuration was not read yet")
        return self._webhooks.get(write_key)

    def all(self) -> Collection[Source]:
        """Every source that is configured."""
        return list({source.id: source for source in (*self._by_write_key.values(), *self._webhooks.values())}.values())

    def is_empty(self) -> bool:
        """Whether no source is configured."""
        return not self._by_write_key and not self._webhooks

    def troubles(self) -> list[str]:
        """What is wrong with the configuration as this port knows it, in plain words; empty when nothing is."""
        if self.failure:
            return [self.failure]
        return [
            f'the webhook secrets of source "{name}" do not open with the present key; restore the key, '
            "or apply a workspace file that gives them again"
            for name in self.unreadable
        ]

    async def watch(self) -> None:
        """Look for a new version of the configuration, again and again, until cancelled."""
        while True:
            await self._clock.sleep(REFRESH_SECONDS)
            await asyncio.to_thread(self.refresh)

    def refresh(self) -> None:
        """Read the sources if the version of the configuration changed. Never raises for a database in trouble."""
        try:
            with closing(connect(self._state_path, read_only=True)) as connection:
                self._read(connection)
        except sqlite3.Error as error:
            if self.failure is None or self._version is None:
                logger.warning("configuration cannot be read", reason=str(error))
            self.failure = f"the configuration cannot be read: {error}"
            return
        self.failure = None

    def _read(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        (version,) = connection.execute("SELECT version FROM workspace").fetchone()
        now_ms = self._clock.now_ms()
        retires = self._retire_at_ms is not None and self._retire_at_ms <= now_ms
        if version == self._version and not self.unreadable and not retires:
            return
        sources = list(self._read_sources(connection))
        retired = [(s.retired_key, s) for s in sources if s.retired_key and (s.retired_key_until_ms or 0) > now_ms]
        self._retire_at_ms = min((s.retired_key_until_ms for _, s in retired if s.retired_key_until_ms), default=None)
        keys = [*retired, *((source.write_key, source) for source in sources)]
        self._by_write_key = {key: source for key, source in keys if not source.webhook}
        self._webhooks = {key: source for key, source in keys if source.webhook}
        self.unreadable = tuple(
            source.name
            for source in self._webhooks.values()
            if source.enabled and source.webhook and not source.webhook.secrets
        )
        if version == self._version:
            return
        self._version = version
        logger.info("sources known", version=version, sources=len(sources))
