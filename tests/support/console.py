"""The private port over a real store and log, without a process of its own; and who asks it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx

from gainsight_destination.access import links, people, sessions, tokens
from gainsight_destination.access.roles import Role
from gainsight_destination.console.front import create_front
from gainsight_destination.console.guard import COOKIE
from gainsight_destination.console.house import House
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.store.database import Database, connect
from gainsight_destination.store.migrate import migrate
from gainsight_destination.testing import ManualClock
from tests.support.pipeline import NOW_MS

ORIGIN: Final = "http://127.0.0.1:8081"
PASSWORD: Final = "correct horse battery"
SAME_ORIGIN: Final = {"sec-fetch-site": "same-origin"}

T = TypeVar("T")


class Caller:
    """A browser on a page of the console: what it sends says that it comes from there."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, path: str, **more: Any) -> httpx.Response:
        return await self.client.get(path, **more)

    async def post(self, path: str, form: Mapping[str, Any] | None = None, **more: Any) -> httpx.Response:
        return await self.client.post(path, data=form or {}, headers=SAME_ORIGIN, **more)


class Place:
    """A data directory with its private port."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock(NOW_MS)
        with connect(directory / "state.db") as connection:
            migrate(connection, "gainsight_destination.store.migrations")
        self.database = Database(directory / "state.db")
        self.log = SqliteEventLog(directory / "log.db")
        self.hosts: set[str] = set()
        house = House(
            database=self.database,
            log=self.log,
            clock=self.clock,
            data_dir=directory,
            reasons=list,
            notes=list,
            ingest_metrics=lambda: "",
            refresh_metrics=lambda: None,
            ingest_url=lambda: "http://127.0.0.1:8080",
            hosts=lambda: self.hosts,
        )
        self.app = create_front(house)

    def close(self) -> None:
        self.database.close()
        self.log.close()

    def write(self, write: Callable[..., T]) -> T:
        return self.database.submit(write).result()

    def now_ms(self) -> int:
        return self.clock.now_ms()

    @asynccontextmanager
    async def caller(self, *, address: str = "127.0.0.1", **headers: str) -> AsyncIterator[Caller]:
        transport = httpx.ASGITransport(self.app, client=(address, 1_024))
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers) as client:
            yield Caller(client)

    def person(self, role: Role, *, email: str | None = None) -> people.Person:
        """Somebody with a password."""
        return self.write(
            lambda connection: people.add_person(
                connection,
                email=email or f"{role}@example.com",
                name=f"The {role}",
                role=role,
                password=PASSWORD,
                now_ms=self.now_ms(),
            )
        )

    @asynccontextmanager
    async def signed_in(self, role: Role) -> AsyncIterator[Caller]:
        """Somebody of this role with a session."""
        person = self.person(role)
        word = self.write(lambda connection: sessions.open_session(connection, person.id, self.now_ms()))
        async with self.caller() as caller:
            caller.client.cookies.set(COOKIE, word)
            yield caller

    def token(self, role: Role, *, expires_at_ms: int | None = None, made_by: str = "tests") -> str:
        _, text = self.write(
            lambda connection: tokens.make_token(
                connection,
                name=f"a {role}",
                role=role,
                made_by=made_by,
                expires_at_ms=expires_at_ms,
                now_ms=self.now_ms(),
            )
        )
        return text

    def setup_word(self) -> str:
        word = self.write(lambda connection: links.setup_link(connection, self.now_ms()))
        assert word is not None
        return word
