"""Delivery by hand: the real store, worker and sandbox, and a clock that moves only when told to."""

import json
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import httpx

from gainsight_destination.deliver.worker import DeliveryWorker
from gainsight_destination.destinations.contract import Connected
from gainsight_destination.destinations.registry import build
from gainsight_destination.observe.status import status
from gainsight_destination.records import dead_letters
from gainsight_destination.records.books import Books
from gainsight_destination.records.replays import Selection
from gainsight_destination.replay import service as replay_service
from gainsight_destination.replay.preview import Preview, preview
from gainsight_destination.resolve.replay import advance
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.sandbox.testing import PLAIN, RunningSandbox, running_sandbox
from gainsight_destination.store.database import Database, connect
from gainsight_destination.testing import ManualClock
from tests.support.pipeline import ACCESS_KEY, NOW_MS, WINDOW_MS, Pipeline

SECRETS = ("accessKey", "clientSecret", "sharedSecret", "secret")
EVENTS, USAGE = "Segment_Event__gc", "Segment_Usage_Daily__gc"


class Delivery:
    """One destination at a sandbox, stepped by hand."""

    def __init__(
        self,
        directory: Path,
        sandbox: RunningSandbox,
        clock: ManualClock,
        *,
        destination_type: str = "gainsight",
        limited: Iterable[int] = (),
        **settings: Any,
    ) -> None:
        self.limited = frozenset(limited)
        self.pipeline = Pipeline(directory)
        self.pipeline.connection.close()
        self.sandbox = sandbox
        self.clock = clock
        self.directory = directory
        self.destination_type = destination_type
        usual = {"accessKey": ACCESS_KEY, "domain": sandbox.url, "flushSeconds": 1}
        if "clientId" in settings:
            del usual["accessKey"]
        self.settings: dict[str, Any] = {**(usual if destination_type == "gainsight" else {}), **settings}
        self.version = 0
        self.open()

    def open(self) -> None:
        """As a start of the server does: nothing is remembered but what the store holds."""
        self.version += 1
        self.database = Database(self.directory / "state.db")
        self.database.submit(self._store_settings).result()
        settings = dict(self.settings)
        consent = frozenset(settings.pop("consentCategories", ()))
        self.destination = build(self.destination_type, settings)
        self.connected = Connected(1, "gainsight", frozenset({1, 2}), self.destination, consent)
        self.worker = DeliveryWorker(
            self.database,
            self.pipeline.log,
            self.clock,
            self.connected,
            settings_version=self.version,
            jitter=lambda: 1.0,
            transport=httpx.AsyncHTTPTransport(verify=PLAIN),
        )
        self.resolver = self.database.submit(
            lambda connection: Resolver(
                connection,
                self.pipeline.log,
                [self.connected],
                duplicate_window_ms=WINDOW_MS,
                limited=self.limited,
            )
        ).result()

    def _store_settings(self, connection: sqlite3.Connection) -> None:
        plain = {name: value for name, value in self.settings.items() if name not in SECRETS}
        connection.execute(
            "UPDATE destinations SET type = ?, settings = ? WHERE id = 1", (self.destination_type, json.dumps(plain))
        )

    async def close(self) -> None:
        await self.worker.close()
        self.database.close()

    async def restart(self, **settings: Any) -> None:
        """Stop and start again, perhaps with other settings."""
        await self.close()
        self.settings |= settings
        self.open()

    def send(self, *messages: Mapping[str, Any]) -> None:
        self.pipeline.send(*messages, received_at_ms=self.clock.now_ms())

    async def resolve(self) -> None:
        (offset,) = await self.read("SELECT next_offset FROM reader")
        entries = self.pipeline.log.read(offset[0], max_messages=100_000)
        if entries:
            await self.database.write(lambda _: self.resolver.resolve(entries, self.clock.now_ms()))

    async def expire(self) -> None:
        """End the waiting of what is parked too long, as the engine does from time to time."""
        await self.database.write(lambda _: self.resolver.expire_parked(self.clock.now_ms()))

    async def start_replay(self, *, again: bool = False, **chosen: Any) -> int:
        """Start a replay of messages chosen by the fields of a selection; its number."""
        started = await self.database.write(
            lambda connection: replay_service.start(
                connection,
                self.pipeline.log,
                1,
                Selection(**chosen),
                again=again,
                actor="a test",
                now_ms=self.clock.now_ms(),
            )
        )
        return started.id

    async def advance(self, max_messages: int = 1) -> bool:
        """Look at a chunk of the replay whose turn it is, as the engine does; whether there was one that went on."""
        return await self.database.write(
            lambda _: advance(self.resolver, self.connected, self.clock.now_ms(), max_messages),
            undone=self.resolver.forget,
        )

    async def replay(self, *, again: bool = False, max_messages: int = 1, **chosen: Any) -> dict[str, Any]:
        """A whole replay, delivered; how it went. The books and its figures balance after each chunk."""
        replay_id = await self.start_replay(again=again, **chosen)
        while await self.advance(max_messages):
            await self.books()
            await self.replay_told(replay_id)
        await self.drain()
        await self.advance()
        return await self.replay_told(replay_id)

    async def replay_told(self, replay_id: int) -> dict[str, Any]:
        def tell(connection: sqlite3.Connection) -> dict[str, Any]:
            return replay_service.told(connection, replay_service.get(connection, replay_id))

        told = await self.database.read(tell)
        log, messages, records = told["log"], told["messages"], told["records"]
        assert log["lookedAt"] == log["gone"] + log["notChosen"] + messages["chosen"], told
        assert messages["chosen"] == messages["touched"] + sum(messages["skipped"].values()), told
        settled = records["delivered"] + records["unchanged"] + records["dead"]
        assert sum(records["due"].values()) == settled + records["waiting"], told
        return told

    async def replay_preview(self, *, again: bool = False, **chosen: Any) -> Preview:
        """What that replay would do."""
        with closing(connect(self.directory / "state.db")) as connection:
            return preview(
                connection,
                self.pipeline.log,
                [self.connected],
                self.limited,
                1,
                Selection(**chosen),
                again=again,
                now_ms=self.clock.now_ms(),
            )

    async def read(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        def query(connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return connection.execute(sql, values).fetchall()

        return await self.database.read(query)

    async def drain(self, minutes: float = 30) -> None:
        """Resolve and deliver, moving time on whenever the worker waits, until nothing is dirty or time is up."""
        await self.resolve()
        end_ms = self.clock.now_ms() + round(minutes * 60_000)
        while self.clock.now_ms() < end_ms:
            wait_ms = await self.worker.step()
            if wait_ms:
                ((open_records,),) = await self.read("SELECT count(*) FROM records WHERE state IN ('dirty', 'queued')")
                if not open_records:
                    return
                self.clock.advance(wait_ms / 1000)

    async def step_until(self, minutes: float) -> None:
        """Go on for some time, whatever there is to do."""
        end_ms = self.clock.now_ms() + round(minutes * 60_000)
        while self.clock.now_ms() < end_ms:
            wait_ms = await self.worker.step()
            self.clock.advance(min(wait_ms, end_ms - self.clock.now_ms()) / 1000)

    async def retry_dead_letters(self) -> int:
        """What a person does after mending the cause; how many there were."""

        def retry(connection: sqlite3.Connection) -> int:
            books, letters = Books(self.clock.now_ms()), dead_letters.select(connection)
            for letter in letters:
                dead_letters.revive(connection, books, letter["record_id"], self.clock.now_ms())
            books.flush(connection)
            return len(letters)

        return await self.database.write(retry)

    async def books(self) -> dict[str, Any]:
        document = await self.database.read(
            lambda connection: status(connection, self.pipeline.log, self.clock.now_ms())
        )
        books: dict[str, Any] = document["destinations"]["gainsight"]
        assert books["balanced"], books
        return books

    async def rows(self, object_name: str) -> list[dict[str, Any]]:
        return await self.sandbox.rows(object_name)

    async def accounts(self) -> list[dict[str, Any]]:
        return [row for row in await self.rows("company") if len(row["SfdcAccountId"]) == 18]

    async def writes(self) -> list[tuple[str, str, int]]:
        """(method, path, status) of the calls that came and are no metadata."""
        return [
            (call["method"], call["path"], call["status"])
            for call in await self.sandbox.calls()
            if "/meta/" not in call["path"]
        ]


@asynccontextmanager
async def delivery_at_sandbox(directory: Path, **settings: Any) -> AsyncIterator[Delivery]:
    """A fresh sandbox and a delivery to it, ten seconds into a minute."""
    clock = ManualClock(NOW_MS + 10_000)
    async with (
        running_sandbox(directory / "sandbox.db", clock=clock) as sandbox,
        delivery_to(sandbox, directory, clock, **settings) as delivery,
    ):
        yield delivery


@asynccontextmanager
async def delivery_to(
    sandbox: RunningSandbox, directory: Path, clock: ManualClock, **settings: Any
) -> AsyncIterator[Delivery]:
    """A delivery to a sandbox that runs already."""
    delivery = Delivery(directory, sandbox, clock, **settings)
    try:
        yield delivery
    finally:
        await delivery.close()
        delivery.pipeline.log.close()
