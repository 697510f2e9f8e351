"""Past its marks the public port refuses instead of losing (P8): real sockets, files, and resolver."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import segment.analytics as segment
from structlog.testing import capture_logs
from tests.support.ingest import WEBSITE, Ingest, StoppedClock, running_ingest
from tests.support.system import wait_until

from gainsight_destination.eventlog.backlog import read_bytes, unread_bytes
from gainsight_destination.eventlog.contract import DAY_MS, Entry, EntryKind
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest.levels import read_refused
from gainsight_destination.ingest.watermarks import Watermarks
from gainsight_destination.observe import metrics
from gainsight_destination.resolve.resolver import Resolver
from gainsight_destination.runtime.testing import write_sources
from gainsight_destination.store.database import connect, transaction
from gainsight_destination.workspace.model import Sender, Source, SourceKind, SourceLimits, Webhook

SERVER = Source(3, "server", "server-key")
BODY = b'{"userId":"u","event":"e","pad":"' + b"x" * 60 + b'"}'
SIZE = len(BODY)
FULL = Watermarks(max_backlog_bytes=10 * SIZE)


class Engine:
    """The part of the engine that matters here: it reads the log, in the transaction that counts what it read."""

    def __init__(self, folder: Path, log: SqliteEventLog) -> None:
        self._state = connect(folder / "state.db")
        self._log = log
        self._resolver = Resolver(self._state, log, [], duplicate_window_ms=DAY_MS)

    def read(self, messages: int) -> None:
        (offset,) = self._state.execute("SELECT next_offset FROM reader").fetchone()
        with transaction(self._state):
            self._resolver.resolve(self._log.read(offset, max_messages=messages), 0)

    def close(self) -> None:
        self._state.close()


@contextmanager
def reading(ingest: Ingest, folder: Path) -> Iterator[Engine]:
    assert isinstance(ingest.log, SqliteEventLog)
    with closing(Engine(folder, ingest.log)) as engine:
        yield engine


async def post(client: httpx.AsyncClient, source: Source = WEBSITE, body: bytes = BODY) -> httpx.Response:
    return await client.post("/v1/track", content=body, auth=(source.write_key, ""))


async def answers(client: httpx.AsyncClient, count: int, source: Source = WEBSITE) -> list[int]:
    return [(await post(client, source)).status_code for _ in range(count)]


def refused(reason: str, source: str = "") -> float:
    return metrics.ingest_refused_of(reason, source)._value.get()


async def test_a_full_backlog_is_refused_until_the_engine_has_read_on(tmp_path: Path) -> None:
    """Past the mark 429 with both headers and nothing stored; below the low mark all goes on by itself."""
    clock = StoppedClock()
    async with running_ingest(tmp_path, clock=clock, marks=FULL) as ingest, client_of(ingest) as client:
        with reading(ingest, tmp_path) as engine, capture_logs() as logs:
            assert await answers(client, 11) == [200] * 11
            ingest.look()
            before = refused("backlog")
            answer = await post(client)
            assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
            assert (answer.headers["retry-after"], answer.headers["x-ratelimit-reset"]) == ("30", "30")
            assert "nothing was stored" in answer.json()["message"]
            assert await answers(client, 4) == [429] * 4
            assert refused("backlog") - before == 5
            assert len(ingest.entries()) == 11
            engine.read(2)
            clock.ms += 2_000
            ingest.look()
            assert (await post(client)).headers["retry-after"] == "2"  # one a second is read, and one and a half is due
            engine.read(1)
            ingest.look()
            assert await answers(client, 1) == [429]  # 8 of 10: not clear yet
            engine.read(1)
            ingest.look()
            assert await answers(client, 2) == [200] * 2
    assert [line["event"] for line in logs if "messages" in line["event"]] == [
        "all messages are refused",
        "messages are taken again",
    ]


def client_of(ingest: Ingest) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=ingest.url, trust_env=False)


async def test_a_restart_with_a_full_backlog_refuses_at_once(tmp_path: Path) -> None:
    """What waits is known before the first request."""
    async with running_ingest(tmp_path, marks=FULL) as ingest, client_of(ingest) as client:
        assert await answers(client, 11) == [200] * 11
    async with running_ingest(tmp_path, marks=FULL) as ingest, client_of(ingest) as client:
        assert await answers(client, 1) == [429]


async def test_a_nearly_full_disk_is_refused(tmp_path: Path) -> None:
    """Nothing is stored while the volume has less than is to stay free; with space it goes on."""
    marks = Watermarks(min_free_bytes=10**18)
    async with running_ingest(tmp_path, marks=marks) as ingest, client_of(ingest) as client:
        answer = await post(client)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
        assert ingest.entries() == []
        assert ingest.admission.closed is not None
        assert "--min-free-disk-gb" in ingest.admission.closed.refusal.words
        ingest.admission.marks = Watermarks(min_free_bytes=1)
        ingest.look()
        assert await answers(client, 1) == [200]


async def test_a_flood_leaves_room_for_the_quiet(tmp_path: Path) -> None:
    """From half of the mark on only the source that fills the backlog waits; what is refused is told by name."""
    sources = (WEBSITE, SERVER)
    async with running_ingest(tmp_path, sources=sources, marks=FULL) as ingest, client_of(ingest) as client:
        with reading(ingest, tmp_path) as engine, capture_logs() as logs:
            assert await answers(client, 6) == [200] * 6
            ingest.look()
            before = refused("share", "website")
            assert await answers(client, 3) == [429] * 3
            assert refused("share", "website") - before == 3
            assert await answers(client, 4, SERVER) == [200] * 4
            ingest.look()
            assert read_refused(tmp_path)["everything"] is None
            told = read_refused(tmp_path)["sources"]
            assert list(told) == ["website"]
            assert "wait for the engine are its" in told["website"]["words"]
            engine.read(5)  # all but one of the flood
            ingest.look()
            assert await answers(client, 1) == [200]
            assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["a source is refused"]


async def test_both_may_flood_to_the_full_mark(tmp_path: Path) -> None:
    """Sources that fill the backlog alike share all of it, and then wait alike."""
    sources = (WEBSITE, SERVER)
    async with running_ingest(tmp_path, sources=sources, marks=FULL) as ingest, client_of(ingest) as client:
        for _ in range(5):
            assert await answers(client, 1) == [200]
            assert await answers(client, 1, SERVER) == [200]
            ingest.look()
        assert await answers(client, 1) == [200]
        ingest.look()
        assert await answers(client, 1) == [429]
        assert await answers(client, 1, SERVER) == [429]


async def test_a_source_is_held_to_its_messages_per_second(tmp_path: Path) -> None:
    """Alone, whatever the levels; other sources do not notice, and a new version of the workspace counts."""
    clock = StoppedClock()
    limited = replace(WEBSITE, limits=SourceLimits(messages_per_second=3))
    async with (
        running_ingest(tmp_path, sources=(limited, SERVER), clock=clock) as ingest,
        client_of(ingest) as client,
    ):
        assert await answers(client, 5) == [200] * 3 + [429] * 2
        assert await answers(client, 5, SERVER) == [200] * 5
        clock.ms += 1_000
        ingest.look()
        assert await answers(client, 4) == [200] * 3 + [429]
        assert "messagesPerSecond" in read_refused(tmp_path)["sources"]["website"]["words"]
        clock.ms += 60_000
        ingest.look()
        assert read_refused(tmp_path)["sources"] == {}
        write_sources(tmp_path / "state.db", (WEBSITE, SERVER))
        ingest.sources.refresh()
        ingest.look()
        assert await answers(client, 5) == [200] * 5


async def test_the_megabytes_of_a_day_outlive_a_restart(tmp_path: Path) -> None:
    """They are counted with the messages in the log; imported files do not count, and midnight UTC gives new ones."""
    clock = StoppedClock()
    limited = replace(WEBSITE, limits=SourceLimits(megabytes_per_day=1))
    padded = b'{"pad":"' + b"x" * 30_000 + b'"}'
    async with running_ingest(tmp_path, sources=(limited,), clock=clock) as ingest, client_of(ingest) as client:
        ingest.log.append([Entry(1, EntryKind.ARCHIVE, clock.ms, 1, b"[%s]" % (b"1," * 600_000 + b"1"))], live=False)
        for _ in range(33):
            assert (await post(client, body=padded)).status_code == 200
    async with running_ingest(tmp_path, sources=(limited,), clock=clock) as ingest, client_of(ingest) as client:
        assert (await post(client, body=padded)).status_code == 200
        ingest.look()
        assert (await post(client, body=padded)).status_code == 429
        clock.ms += DAY_MS
        ingest.look()
        assert (await post(client, body=padded)).status_code == 200


async def test_an_sdk_that_is_refused_loses_nothing(tmp_path: Path) -> None:
    """Segment's Python SDK waits as it is told, comes again, and every message is stored once."""
    clock = StoppedClock()
    async with running_ingest(tmp_path, clock=clock, marks=FULL) as ingest:
        with reading(ingest, tmp_path) as engine:
            async with client_of(ingest) as client:
                assert await answers(client, 14) == [200] * 14
            engine.read(3)
            clock.ms += 1_000
            ingest.look()
            before = refused("backlog")
            failures: list[Exception] = []
            sdk = segment.Client(
                "website-key", host=ingest.url, upload_interval=0.05, on_error=lambda e, _: failures.append(e)
            )
            for number in range(20):
                sdk.track("u", f"Event {number}")
            await asyncio.to_thread(wait_until, lambda: refused("backlog") > before, "the SDK to be refused")
            assert len(ingest.entries()) == 14
            engine.read(11)
            ingest.look()
            await asyncio.to_thread(sdk.flush)
            await asyncio.to_thread(sdk.shutdown)
            assert failures == []
            assert sum(entry.count for entry in ingest.entries()[14:]) == 20


def test_the_backlog_is_known_without_reading_it(tmp_path: Path) -> None:
    """Sums of what came and of what was read: exact by source, archives and removed entries included."""
    write_sources(tmp_path / "state.db", (WEBSITE, SERVER))
    with closing(SqliteEventLog(tmp_path / "log.db")) as log, closing(Engine(tmp_path, log)) as engine:
        batch, archive = b'{"batch":[1,2,3]}', b"[1,2]"
        log.append(
            [Entry(source, kind, DAY_MS, count, body) for source in (1, 3) for kind, count, body in (
                (EntryKind.BATCH, 3, batch), (EntryKind.ARCHIVE, 2, archive), (EntryKind.SOURCE_DISABLED, 9, b"")
            )]
        )  # fmt: skip
        with closing(connect(tmp_path / "state.db", read_only=True)) as state:
            size = len(batch) + len(archive)
            assert unread_bytes(read_bytes(state), log) == {1: size, 3: size} == log.bytes_from(0)
            engine.read(4)
            log.retain(keep_from_offset=3, older_than_ms=2 * DAY_MS, max_bytes=0)
            assert unread_bytes(read_bytes(state), log) == {1: len(archive), 3: size} == log.bytes_from(3)
            engine.read(100)
            assert unread_bytes(read_bytes(state), log) == {}


async def test_what_cannot_be_looked_at_changes_nothing(tmp_path: Path) -> None:
    """A state that cannot be read leaves doors as they are, and is said once."""
    async with running_ingest(tmp_path, marks=FULL) as ingest, client_of(ingest) as client:
        assert await answers(client, 11) == [200] * 11
        ingest.look()
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as state, capture_logs() as logs:
            state.execute("ALTER TABLE read_messages RENAME TO hidden")
            ingest.look()
            ingest.look()
            assert await answers(client, 1) == [429]
            assert len(logs) == 1
            state.execute("ALTER TABLE hidden RENAME TO read_messages")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/batch", 429),
        ("POST", "/v1/t", 429),
        ("POST", "/beacon/v1/batch?writeKey=website-key", 429),
        ("GET", "/v1/t?data=eyJ3cml0ZUtleSI6IndlYnNpdGUta2V5In0=", 429),
        ("GET", "/v1/pixel/track?writeKey=website-key&event=e", 200),  # an image whatever happens
        ("POST", "/v1/webhook/hook-key", 429),
    ],
)
async def test_every_way_in_is_closed(method: str, path: str, status: int, tmp_path: Path) -> None:
    """No route stores anything while all is refused."""
    hook = Source(4, "hook", "hook-key", kind=SourceKind.WEBHOOK, webhook=Webhook(Sender.SEGMENT, ("s" * 20,)))
    marks = Watermarks(min_free_bytes=10**18)
    async with running_ingest(tmp_path, sources=(WEBSITE, hook), marks=marks) as ingest, client_of(ingest) as client:
        before = refused("disk")
        answer = await client.request(method, path, content=b'{"batch":[{}]}' if method == "POST" else None)
        assert answer.status_code == status
        assert refused("disk") - before == 1
        assert ingest.entries() == []


async def test_a_webhook_has_its_limits_too(tmp_path: Path) -> None:
    """What another pipeline sends on is held like what comes itself."""
    limits = SourceLimits(messages_per_second=1)
    webhook = Webhook(Sender.JITSU, ("a-shared-secret-of-enough-length",))
    hook = Source(4, "hook", "hook-key", kind=SourceKind.WEBHOOK, webhook=webhook, limits=limits)
    async with running_ingest(tmp_path, sources=(hook,)) as ingest, client_of(ingest) as client:
        headers = {"Authorization": f"Bearer {webhook.secrets[0]}"}
        answered = [
            (await client.post("/v1/webhook/hook-key", content=b"{}", headers=headers)).status_code for _ in range(2)
        ]
        assert answered == [200, 429]


@pytest.mark.parametrize("key", ["", "nobody"])
async def test_a_flood_that_is_nobodys_is_refused_like_all(key: str, tmp_path: Path) -> None:
    """While everything is refused no request is looked into, whoever sends it."""
    async with running_ingest(tmp_path, marks=Watermarks(min_free_bytes=10**18)) as ingest, client_of(ingest) as client:
        answer = await client.post("/v1/track", content=b"{", auth=(key, ""))
        assert answer.status_code == 429
        assert (await client.get("/health")).status_code == 200
        assert (await client.options("/v1/track")).status_code == 200
