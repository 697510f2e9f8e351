"""The public port on a real socket, with a real log and real sources, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gainsight_destination.clock import Clock
from gainsight_destination.eventlog.contract import Entry, EventLog
from gainsight_destination.eventlog.group_commit import GroupCommit
from gainsight_destination.eventlog.sqlite import SqliteEventLog
from gainsight_destination.ingest import limits
from gainsight_destination.ingest.admission import Admission
from gainsight_destination.ingest.app import IngestApp
from gainsight_destination.ingest.levels import LevelWatch
from gainsight_destination.ingest.listen import listen
from gainsight_destination.ingest.public_url import PublicUrl
from gainsight_destination.ingest.server import IngestServer
from gainsight_destination.ingest.sources import StoredSources
from gainsight_destination.ingest.tls import Tls
from gainsight_destination.ingest.watermarks import Watermarks
from gainsight_destination.runtime.ingest_main import read_sources
from gainsight_destination.runtime.options import address_of
from gainsight_destination.runtime.testing import write_sources
from gainsight_destination.workspace.model import Source

NOW_MS = 1_795_432_718_572
WEBSITE = Source(1, "website", "website-key")
DISABLED = Source(2, "retired", "retired-key", enabled=False)


class StoppedClock:
    """Time stands still until the test moves it; whoever sleeps, sleeps on."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def now_ms(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class FullLog(SqliteEventLog):
    """A log on a disk that is full from `fill` to `empty`, by SQLite's own limit of pages."""

    def fill(self) -> None:
        assert self._writer is not None
        (pages,) = self._writer.execute("PRAGMA page_count").fetchone()
        self._writer.execute(f"PRAGMA max_page_count = {pages}")

    def empty(self) -> None:
        assert self._writer is not None
        self._writer.execute("PRAGMA max_page_count = 1000000")


@dataclass
class Ingest:
    """A running public port."""

    port: int
    log: EventLog
    commits: GroupCommit
    sources: StoredSources
    server: IngestServer
    admission: Admission
    levels: LevelWatch

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def entries(self) -> list[Entry]:
        """Everything in the log."""
        return [logged.entry for logged in self.log.read(self.log.start(), max_messages=1_000_000)]

    def look(self) -> None:
        """What happens once a second: see what there is, open and close by it."""
        self.levels.judge(self.levels.look())
        self.levels.tell()

    async def exchange(self, *pieces: bytes) -> bytes:
        """Send bytes on one connection, half-close it, and read until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        answer = await reader.read()
        writer.close()
        return answer


@asynccontextmanager
async def running_ingest(
    folder: Path,
    *,
    sources: Sequence[Source] = (WEBSITE, DISABLED),
    clock: Clock | None = None,
    log: EventLog | None = None,
    unwell: Callable[[], Sequence[str]] = tuple,
    max_queued_bytes: int = 64_000_000,
    marks: Watermarks | None = None,
    max_connections: int = 1_000,
    public_url: PublicUrl | None = None,
    tls: Tls | None = None,
    handshake_seconds: float = limits.HANDSHAKE_SECONDS,
) -> AsyncIterator[Ingest]:
    """Serve on a free port until the end of the block."""
    clock = clock or StoppedClock()
    write_sources(folder / "state.db", sources)
    log = log or SqliteEventLog(folder / "log.db")
    commits = GroupCommit(log, clock=clock, max_queued_bytes=max_queued_bytes)
    stored = StoredSources(folder / "state.db", clock=clock, read_sources=partial(read_sources, folder))
    stored.refresh()
    admission = Admission(clock, marks or Watermarks())
    levels = LevelWatch(admission, log, folder / "state.db", stored, clock=clock)
    levels.judge(levels.look())
    app = IngestApp(
        log=commits,
        sources=stored,
        clock=clock,
        admission=admission,
        unwell=unwell,
        public_url=public_url,
        certificate_expires=lambda: tls.expires() if tls else None,
    )
    listener = listen("127.0.0.1", 0)
    opened = asyncio.Event()
    server = IngestServer(
        app,
        listener,
        clock=clock,
        opened=opened.set,
        max_connections=max_connections,
        tls=tls.context if tls else None,
        handshake_seconds=handshake_seconds,
    )
    port = address_of(listener).port
    serving = asyncio.create_task(server.run_until_stopped())
    await opened.wait()
    try:
        yield Ingest(port, log, commits, stored, server, admission, levels)
    finally:
        server.stop()
        await serving
        await commits.close()
        log.close()
